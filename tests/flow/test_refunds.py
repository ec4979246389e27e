"""Money is given back of calls: once, never more than they cost, and restated when months close."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

import tollgate
from money import NANO, spelled
from tollgate import Dev


def call(dev: Dev, key: str, words: int = 20) -> Any:
    """A call of some words, as its event once it can be refunded."""
    with dev.wire(key) as wire:
        body = {"model": "demo/echo", "stream": False, "messages": [{"role": "user", "content": " ".join(["word"] * words)}]}
        reply = wire.ask(wire.chat(body))
        assert reply.status == 200
    dev.ship()
    return dev.cli_one("usage", "show", reply.headers["x-request-id"])


def refund(dev: Dev, event: Any, *words: str) -> Any:
    return dev.cli_one("usage", "refund", event["request_id"], *words, "--reason", "it was cut off")


def show(dev: Dev, event: Any) -> Any:
    return dev.cli_one("usage", "show", event["request_id"])


def test_a_refund_gives_back_what_was_asked_for_and_then_the_rest(gateway: Dev) -> None:
    account, key = gateway.new_account("10")
    event = call(gateway, key)
    cost = Decimal(event["amount"])
    assert "refunds" not in event and cost > 0
    part = refund(gateway, event, spelled(NANO * 7))
    assert (part["amount"], part["charged"], part["account"]) == (spelled(NANO * 7), event["amount"], account)
    assert gateway.balance(account) == 10 - cost + NANO * 7
    rest = refund(gateway, event)
    assert Decimal(rest["amount"]) == cost - NANO * 7
    assert gateway.balance(account) == 10
    shown = show(gateway, event)
    assert [each["op"] for each in shown["refunds"]] == [part["op"], rest["op"]]
    assert Decimal(shown["refunded"]) == cost and shown["amount"] == event["amount"]
    assert Decimal(gateway.get("/v1/balance", key)["balance"]) == 10
    seen = gateway.get(f"/v1/usage/{event['request_id']}", key)
    assert seen["refunded"] == shown["refunded"] and seen["refunds"] == shown["refunds"]
    assert "Nothing is left" in gateway.refused("usage", "refund", event["request_id"], "--reason", "again")


def test_a_repeated_operation_counts_once(gateway: Dev) -> None:
    account, key = gateway.new_account("10")
    event = call(gateway, key)
    first = refund(gateway, event, "0.000001", "--op", "op-once")
    assert refund(gateway, event, "0.000001", "--op", "op-once") == first
    assert refund(gateway, event, "--op", "op-once") == first
    said = gateway.refused("usage", "refund", event["request_id"], "0.000002", "--reason", "more", "--op", "op-once")
    assert "op-once" in said and "0.000001" in said
    assert gateway.balance(account) == 10 - Decimal(event["amount"]) + Decimal("0.000001")
    other = call(gateway, key)
    assert refund(gateway, other, "--op", "op-once")["amount"] == other["amount"], "an operation belongs to its call"


def test_the_excess_is_refused_and_nothing_is_written(gateway: Dev) -> None:
    account, key = gateway.new_account("10")
    event = call(gateway, key)
    refund(gateway, event, "0.000003")
    too_much = spelled(Decimal(event['amount']) - Decimal('0.000003') + NANO)
    before = gateway.cli_one("usage", "show", event["request_id"])
    said = gateway.refused("usage", "refund", event["request_id"], too_much, "--reason", "all and more")
    assert "can still be refunded" in said and event["amount"] in said
    assert show(gateway, event) == before
    assert refund(gateway, event, spelled(Decimal(too_much) - NANO))
    assert gateway.balance(account) == 10


def test_refunds_at_the_same_time_never_pass_the_call(gateway: Dev) -> None:
    account, key = gateway.new_account("10")
    event = call(gateway, key, 30)
    third = spelled((Decimal(event['amount']) / 3).quantize(NANO))

    def ask(_: int) -> int:
        return tollgate.run("usage", "refund", event["request_id"], third, "--reason", "at once", config=gateway.config).returncode

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(ask, range(8)))
    assert codes.count(0) == 3 and codes.count(1) == 5
    assert Decimal(show(gateway, event)["refunded"]) == 3 * Decimal(third)
    assert gateway.balance(account) == 10 - Decimal(event["amount"]) + 3 * Decimal(third)


@pytest.mark.parametrize("words, wrong", [
    (["1"], "--reason"),
    (["0", "--reason", "x"], "above zero"),
    (["-1", "--reason", "x"], "above zero"),
    (["1e3", "--reason", "x"], "AMOUNT"),
    (["--reason", " "], "'reason'"),
    (["--reason", "x" * 201], "'reason'"),
    (["1", "--reason", "x", "--op", "a b"], "op"),
])
def test_what_makes_no_refund_is_said(gateway: Dev, words: list[str], wrong: str) -> None:
    done = tollgate.run("usage", "refund", "req_" + "0" * 32, *words, config=gateway.config)
    assert done.returncode != 0 and done.stdout == "" and wrong in done.stderr


def test_a_call_that_is_not_there_cannot_be_refunded(gateway: Dev) -> None:
    assert "no call" in gateway.refused("usage", "refund", "req_" + "0" * 32, "--reason", "x")
    assert "no request id" in gateway.refused("usage", "refund", "nonsense", "--reason", "x")
