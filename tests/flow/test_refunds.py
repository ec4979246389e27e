"""Money is given back of calls: once, never more than they cost, and restated when months close."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import money
import test_month_end as month_end
import tollgate
from money import NANO, spelled
from tollgate import Dev, Gateway, Served, wait_until


def call(dev: Gateway, key: str, words: int = 20) -> Any:
    """A call of some words, as its event once it can be refunded."""
    with dev.wire(key) as wire:
        body = {"model": "demo/echo", "stream": False, "messages": [{"role": "user", "content": " ".join(["word"] * words)}]}
        reply = wire.ask(wire.chat(body))
        assert reply.status == 200
    dev.ship()
    return dev.cli_one("usage", "show", reply.headers["x-request-id"])


def refund(dev: Gateway, event: Any, *words: str) -> Any:
    return dev.cli_one("usage", "refund", event["request_id"], *words, "--reason", "it was cut off")


def show(dev: Gateway, event: Any) -> Any:
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
    assert "nothing is left" in gateway.refused("usage", "refund", event["request_id"], "--reason", "again")


def test_a_repeated_operation_counts_once(gateway: Dev) -> None:
    account, key = gateway.new_account("10")
    event = call(gateway, key)
    first = refund(gateway, event, "0.000001", "--op", "op-once")
    assert refund(gateway, event, "0.000001", "--op", "op-once") == {**first, "repeated": True}
    assert refund(gateway, event, "--op", "op-once") == {**first, "repeated": True}
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


def test_a_refund_has_a_receipt_of_its_own(gateway: Dev, tmp_path: Path) -> None:
    _, key = gateway.new_account("10")
    event = call(gateway, key)
    given = refund(gateway, event, "0.000005")
    path = f"/v1/usage/{event['request_id']}/refunds/{given['op']}/receipt"
    kept, call_kept = tmp_path / "refund.jws", tmp_path / "call.jws"
    kept.write_text(gateway.get(path, key))
    call_kept.write_text(gateway.get(f"/v1/usage/{event['request_id']}/receipt", key))
    gateway.cli("settle", "preview", given["period"])
    archive = str(gateway.state / "archive")
    said = gateway.cli_one("receipt", "verify", str(kept), "--archive", archive)
    assert {name: said[name] for name in ("request_id", "op", "amount", "charged", "reason", "period", "at")} == \
        {name: given[name] for name in ("request_id", "op", "amount", "charged", "reason", "period", "at")}
    assert said["archived"] is True
    assert gateway.cli_one("receipt", "verify", str(call_kept), "--archive", archive)["amount"] == event["amount"], \
        "the call's receipt stays as the call ended"
    text = kept.read_text()
    for place in (len(text) // 4, len(text) // 2, len(text) - 10):
        kept.write_text(text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1:])
        gateway.refused("receipt", "verify", str(kept))
    assert gateway.try_get(path.replace(given["op"], "op-other"), key)[0] == 404
    _, stranger = gateway.new_account("1")
    assert gateway.try_get(path, stranger)[0] == 404, "another's refund is simply not there"


def test_an_operation_asked_of_two_hosts_at_once_counts_once(served: Served, second: Served) -> None:
    served.start().set_up()
    second.join(served).serve().wait_ready()
    event = call(served, served.key)
    words = ("usage", "refund", event["request_id"], "0.000005", "--reason", "asked twice", "--op", "op-both")

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda host: tollgate.run(*words, config=host.config), (served, second)))
    assert [each.returncode for each in done] == [0, 0], done
    for host in (served, second):
        host.ship()
        shown = show(host, event)
        assert [(each["op"], each["amount"]) for each in shown["refunds"]] == [("op-both", "0.000005")]
        assert host.balance() == 100 - Decimal(event["amount"]) + Decimal("0.000005")


# ---------------------------------------------------------------------- months

class Months:
    """Calls of two months; what is given back of them in the month itself and in the two after."""

    def __init__(self, dev: Dev, folder: Path) -> None:
        self.dev, self.folder = dev, folder
        dev.start()
        self.key = dev.key
        self.first_calls = [call(dev, self.key, 10 + number) for number in range(4)]
        (self.first,) = {event["period"] for event in self.first_calls}
        self.second, self.third, self.fourth = (month_end.after(self.first, months) for months in (1, 2, 3))
        self.refunds = [refund(dev, self.first_calls[0], "0.000009"), refund(dev, self.first_calls[1])]
        dev.restart("--clock", month_end.noon_of_the_second(self.second))
        self.second_calls = [call(dev, self.key, 30)]
        self.refunds += [refund(dev, self.first_calls[0], "0.000007"), refund(dev, self.second_calls[0], "0.000001")]
        self.preview = dev.cli_one("settle", "preview", self.second)["statements"][0]["refunds"]
        self.bundles = {period: folder / period for period in (self.first, self.second, self.third)}
        self.close(self.first)
        self.refunds.append(refund(dev, self.first_calls[2]))
        self.earnings = self.shown(self.second)
        dev.restart("--clock", month_end.noon_of_the_second(self.third))
        self.close(self.second)
        self.refunds.append(refund(dev, self.first_calls[0]))
        dev.restart("--clock", month_end.noon_of_the_second(self.fourth))
        self.close(self.third)

    def close(self, period: str) -> None:
        wait_until(lambda: not self.dev.cli_one("settle", "status", period)["reasons"], f"{period} can be closed")
        self.dev.cli("settle", "close", period, "--out", str(self.bundles[period]))

    def shown(self, period: str) -> Any:
        (sums,) = self.dev.cli_one("creator", "show", "demo", "--period", period)["currencies"]
        return sums

    def statement(self, period: str) -> Any:
        return month_end.statements(self.bundles[period])[0]

    def given_back(self, period: str, orig: str) -> Decimal:
        return money.total(each for each in self.refunds if (each["period"], each["orig_period"]) == (period, orig))


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    folder = tmp_path_factory.mktemp("refunds")
    with Dev(folder / "dev") as dev:
        yield Months(dev, folder)


def test_every_close_restates_the_months_it_corrects(months: Months) -> None:
    net: dict[str, Decimal] = {}
    earned = Decimal(0)
    for period, calls in ((months.first, months.first_calls), (months.second, months.second_calls), (months.third, [])):
        statement = months.statement(period)
        net[period] = money.total(calls)
        assert Decimal(statement["earned"]) == money.share(net[period])
        refunds = Decimal(0)
        for orig in net:
            left = net[orig] - months.given_back(period, orig)
            refunds += money.share(net[orig]) - money.share(left)
            net[orig] = left
        assert Decimal(statement["refunds"]) == refunds
        closing = Decimal(statement["opening"]) + Decimal(statement["earned"]) - refunds - Decimal(statement["payout"])
        assert Decimal(statement["closing"]) == closing
        earned += Decimal(statement["earned"]) - refunds
    assert earned == sum(money.share(left) for left in net.values()), "as if what was given back had never been paid"
    assert net[months.first] == Decimal(months.first_calls[3]["amount"]), "three of four calls were given back"


def test_a_month_with_refunds_alone_carries_what_is_owed(months: Months) -> None:
    statement = months.statement(months.third)
    assert Decimal(statement["earned"]) == 0 and Decimal(statement["refunds"]) > 0 and statement["payout"] == "0"
    assert Decimal(statement["closing"]) == Decimal(statement["opening"]) - Decimal(statement["refunds"])


def test_bundles_with_refunds_can_be_proven(months: Months) -> None:
    archive = str(months.dev.state / "archive")
    previous: list[str] = []
    for period, bundle in months.bundles.items():
        assert month_end.verify(bundle, "--archive", archive, *previous) is None
        previous = ["--previous", str(bundle)]
        lines = subprocess.run(["zstd", "-dcq", str(bundle / "events.jsonl.zst")], capture_output=True, check=True).stdout
        kept = [each for each in map(json.loads, lines.splitlines()) if each["kind"] == "refund"]
        assert [each["op"] for each in kept] == [each["op"] for each in months.refunds if each["period"] == period]
        manifest = json.loads((bundle / "manifest.json").read_text())
        assert manifest["files"][0]["refunds"] == {"CNY": spelled(money.total(kept))}
    terms = json.loads((months.bundles[months.third] / "terms.json").read_text())
    assert [prior["period"] for prior in terms["priors"]] == [months.first]


def test_a_changed_prior_net_is_found(months: Months, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(months.bundles[months.third], bundle)
    text = (bundle / "terms.json").read_text()
    (prior,) = json.loads(text)["priors"]
    (bundle / "terms.json").write_text(text.replace(f'"net":"{prior["net"]}"', '"net":"7"'))
    assert "terms.json" in (month_end.verify(bundle) or "")


def test_what_a_creator_is_shown_is_what_the_statement_says(months: Months) -> None:
    statement = months.statement(months.second)
    shown = months.shown(months.second)
    assert shown == months.earnings, "a close changes nothing of it"
    assert (shown["earned"], shown["refunds"]) == (statement["earned"], statement["refunds"])
    assert Decimal(shown["net"]) == Decimal(shown["earned"]) - Decimal(shown["refunds"])
    assert Decimal(shown["refunded"]) == money.total(each for each in months.refunds if each["period"] == months.second)
    assert shown["models"][0] == {"model": "demo/echo", **{name: shown[name] for name in shown if name not in ("currency", "models", "days")}}


def test_a_preview_restates_a_month_that_was_not_closed_yet(months: Months) -> None:
    first, second = money.total(months.first_calls), money.total(months.second_calls)
    left = first - months.given_back(months.first, months.first)
    due = money.share(left) - money.share(left - Decimal("0.000007")) + money.share(second) - money.share(second - Decimal("0.000001"))
    assert Decimal(months.preview) == due


def test_the_clients_balance_has_all_that_was_given_back(months: Months) -> None:
    assert months.dev.balance() == 100 - money.total(months.first_calls + months.second_calls) + money.total(months.refunds)
