"""An operation counts once, and two changes at the same moment are two changes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import tollgate
from tollgate import Dev, Gateway, Served

LIMITS = ("concurrency", "rpm", "tpm")


def new_op() -> str:
    return f"op-{uuid.uuid4().hex[:12]}"


def limits(gateway: Gateway, account: str) -> tuple[Any, ...]:
    state = gateway.account_state(account)
    return tuple(state[name] for name in LIMITS)


def test_changes_of_one_account_at_the_same_moment_all_stand(gateway: Dev) -> None:
    account, _ = gateway.new_account()
    with ThreadPoolExecutor(6) as pool:
        for value in range(1, 6):
            list(pool.map(lambda name: gateway.cli("account", "limit", account, f"--{name}", str(value)), LIMITS))
            assert limits(gateway, account) == (value,) * 3


def test_changes_through_two_consoles_at_the_same_moment_all_stand(served: Served, second: Served) -> None:
    served.start().set_up()
    second.join(served).serve().wait_ready()
    account, _ = served.new_account()
    hosts = dict(zip(LIMITS, (served, second, served)))
    with ThreadPoolExecutor(3) as pool:
        for value in range(1, 6):
            list(pool.map(lambda name: hosts[name].cli("account", "limit", account, f"--{name}", str(value)), LIMITS))
            served.ship(), second.ship()
            assert limits(served, account) == limits(second, account) == (value,) * 3
    op = new_op()
    second.cli("account", "limit", account, "--rpm", "50", "--op", op)
    second.ship()
    served.cli("account", "limit", account, "--rpm", "60")
    served.ship()
    assert second.cli_one("account", "limit", account, "--rpm", "50", "--op", op)["rpm"] == 60
    assert "with other values" in served.refused("account", "limit", account, "--rpm", "51", "--op", op)
    second.cli("journal", "rebuild", "--from-zero")
    served.wait_ready(), second.wait_ready()
    assert limits(served, account) == limits(second, account) == (5, 60, 5)


def test_a_change_that_is_repeated_later_does_not_set_the_old_limit_again(gateway: Dev) -> None:
    account, _ = gateway.new_account()
    op = new_op()
    first = gateway.cli_one("account", "limit", account, "--rpm", "5", "--tpm", "70", "--op", op)
    assert (first["rpm"], first["tpm"]) == (5, 70) and "repeated" not in first
    gateway.cli("account", "limit", account, "--rpm", "7")
    again = tollgate.run("account", "limit", account, "--rpm", "5", "--tpm", "70", "--op", op,
                         config=gateway.config, check=True)
    assert "nothing was changed" in again.stderr
    assert limits(gateway, account) == (0, 7, 70)
    for other in (["--rpm", "6"], ["--rpm", "5"], ["--rpm", "5", "--tpm", "71"], ["--concurrency", "1"]):
        assert f"operation {op} was booked already, with other values" in \
            gateway.refused("account", "limit", account, *other, "--op", op)
    assert limits(gateway, account) == (0, 7, 70)


def test_a_credit_that_is_repeated_is_told_as_it_was_booked(gateway: Dev) -> None:
    account, _ = gateway.new_account("1")
    words = ("account", "credit", account, "5", "--op", new_op())
    first = gateway.cli_one(*words)
    again = tollgate.run(*words, "--json", config=gateway.config, check=True)
    assert json.loads(again.stdout) == {**first, "repeated": True}
    assert "nothing was changed: it was done before" in again.stderr
    assert gateway.account_state(account)["balance"] == "6"


def test_an_account_is_opened_once_whatever_became_of_its_limits(gateway: Dev) -> None:
    account, op = f"t-{uuid.uuid4().hex[:12]}", new_op()
    words = ["account", "create", account, "--currency", "CNY", "--prepaid", "--rpm", "9"]
    gateway.cli(*words, "--op", op)
    gateway.cli("account", "limit", account, "--rpm", "11")
    again = gateway.cli_one(*words, "--op", op)
    assert again["repeated"] is True and again["rpm"] == 11
    assert "open already, with other terms" in gateway.refused(*words)
    assert "with other values" in gateway.refused(*words[:-1], "10", "--op", op)
    assert "with other values" in gateway.refused("account", "limit", account, "--rpm", "9", "--op", op)
    assert limits(gateway, account) == (0, 11, 0)


def test_a_key_is_made_limited_and_revoked_once_an_operation(gateway: Dev) -> None:
    account, _ = gateway.new_account()
    made, limited, revoked = new_op(), new_op(), new_op()

    def create(*more: str) -> Any:
        return gateway.cli_one("key", "create", account, "--rpm", "3", *more, "--op", made)

    def state() -> Any:
        return next(line for line in gateway.cli("key", "list") if line["public_id"] == public_id)

    key = create()
    public_id = key["public_id"]
    gateway.cli("key", "limit", public_id, "--rpm", "4", "--op", limited)
    assert create() == {**key, "repeated": True} and state()["rpm"] == 4, "made again it is the same, as it is now"
    gateway.cli("key", "limit", public_id, "--rpm", "5")
    assert gateway.cli_one("key", "limit", public_id, "--rpm", "4", "--op", limited)["rpm"] == 5
    assert state()["rpm"] == 5
    refusals = [("create", account, "--rpm", "8", "--op", made), ("limit", public_id, "--rpm", "8", "--op", limited),
                ("revoke", public_id, "--op", limited), ("limit", public_id, "--rpm", "3", "--op", made)]
    for words in refusals:
        assert "with other values" in gateway.refused("key", *words), words
    gateway.cli("key", "revoke", public_id, "--op", revoked)
    assert gateway.cli_one("key", "revoke", public_id, "--op", revoked)["state"] == "revoked"
    assert gateway.cli_one("key", "revoke", public_id)["repeated"] is True
    assert state()["state"] == "revoked"


@pytest.fixture(params=["credit", "adjust", "limit"])
def asked_at_once(request: pytest.FixtureRequest, gateway: Dev) -> Iterator[tuple[str, list[list[str]]]]:
    """Six command lines with one operation id, each with another value."""
    account, _ = gateway.new_account()
    op = new_op()
    if request.param == "adjust":
        words = [["account", "adjust", account, str(value), "--op", op, "--reason", "x"] for value in range(1, 7)]
    elif request.param == "credit":
        words = [["account", "credit", account, str(value), "--op", op] for value in range(1, 7)]
    else:
        words = [["account", "limit", account, "--rpm", str(value), "--op", op] for value in range(1, 7)]
    yield account, words


def test_one_operation_asked_for_with_other_values_at_once_is_done_once(
        gateway: Dev, asked_at_once: tuple[str, list[list[str]]]) -> None:
    account, commands = asked_at_once
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda words: tollgate.run(*words, config=gateway.config), commands))
    kept = [words[4] if words[1] == "limit" else words[3] for words, one in zip(commands, done) if one.returncode == 0]
    assert len(kept) == 1, [one.stderr for one in done]
    assert all("was booked already" in one.stderr for one in done if one.returncode != 0)
    state = gateway.account_state(account)
    assert kept[0] in (state["balance"], str(state["rpm"]))


@pytest.mark.parametrize("reason", ["", "   ", "two\nlines", "a\ttab", "x" * 201])
def test_a_reason_is_one_printable_line(gateway: Dev, reason: str) -> None:
    account, _ = gateway.new_account()
    said = gateway.refused("account", "credit", account, "5", "--reason", reason)
    assert "'reason' must say why, in 1 to 200 printable bytes" in said
    assert gateway.account_state(account)["balance"] == "0"
