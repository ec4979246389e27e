"""Money that no call moves, besides top-ups: adjustments of a balance; grants, which are spent first and end."""

from __future__ import annotations

import csv
import os
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import tollgate
from redis_dump import canonical_dump, differences
from test_month_end import after, noon_of_the_second, verify
from tollgate import Dev, Served, wait_until
from upstream import Call, Upstream
from wire import Reply

PRICES = {"dime": {"call": "0.10", "input_tokens": "0", "output_tokens": "0"}}
TIME = "%Y-%m-%dT%H:%M:%SZ"
FAR = "2199-01-01T00:00:00.000Z"


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def served(serve_for_module: Callable[[str], Served], upstream: Upstream) -> Iterator[Served]:
    """`demo/dime` costs 0.10 a call; so does `demo/held`, which answers when the test says so."""
    own = serve_for_module("grants")
    own.backends = {"echo": {"kind": "echo"}, "held": {"kind": "openai", "url": upstream.url, "breaker_failures": 0}}
    models = [{"id": "demo/dime", "price": "dime", "backends": [{"name": "echo"}]},
              {"id": "demo/held", "price": "dime", "backends": [{"name": "held"}]}]
    yield own.start().set_up("100", models, PRICES)


def new_op() -> str:
    return f"op-{secrets.token_hex(6)}"


def call(gateway: Served, key: str, model: str = "demo/dime") -> Reply:
    with gateway.wire(key) as wire:
        return wire.ask(wire.chat({"model": model, "messages": [{"role": "user", "content": "hello"}]}))


def call_times(gateway: Served, account: str, key: str, count: int) -> Any:
    for _ in range(count):
        assert call(gateway, key).status == 200
    return gateway.settle_down(account)


def left(state: Any) -> list[tuple[str, str]]:
    return [(grant["grant"], grant["left"]) for grant in state["grants"]]


def split(state: Any) -> tuple[Decimal, Decimal]:
    assert Decimal(state["paid"]) + Decimal(state["granted"]) == Decimal(state["balance"])
    return Decimal(state["paid"]), Decimal(state["granted"])


def grant_that_ends_soon(gateway: Served, account: str, amount: str, first: int = 2) -> str:
    """A slow machine is given more time, until the grant is made before it ends."""
    for seconds in (first, 2 * first, 4 * first, 8 * first, 16 * first):
        op, ends = new_op(), datetime.now(UTC) + timedelta(seconds=seconds)
        said = tollgate.run("account", "grant", account, amount, "--expires", ends.strftime(TIME), "--op", op,
                            config=gateway.config)
        if said.returncode == 0:
            return op
        assert "not in the future" in said.stderr
    raise AssertionError("no grant could be made before it ended")


def wait_until_over(gateway: Served, account: str) -> Any:
    def over() -> Any:
        state = gateway.account_state(account)
        return state if not state["grants"] else None
    return wait_until(over, "the grant is over")


def test_an_adjustment_puts_a_balance_right_once_and_says_why(gateway: Dev) -> None:
    account, _ = gateway.new_account("1")
    words = ("account", "adjust", account, "-0.25", "--reason", "paid twice", "--op", new_op())
    booked = gateway.cli_one(*words)
    assert (booked["amount"], booked["reason"], booked["currency"]) == ("-0.25", "paid twice", "CNY")
    assert gateway.cli_one(*words) == {**booked, "repeated": True}
    assert gateway.balance(account) == Decimal("0.75")
    gateway.cli("account", "adjust", account, "0.000000001", "--reason", "a nano")
    assert gateway.balance(account) == Decimal("0.750000001")


GRANTED = ("grant", "--expires", FAR)


@pytest.mark.parametrize("first, second", [(("adjust",), ("credit",)), (("credit",), ("adjust",)), (GRANTED, ("credit",)),
                                           (("adjust",), GRANTED)])
def test_an_operation_id_is_never_taken_for_another_change(gateway: Dev, first: tuple[str, ...],
                                                           second: tuple[str, ...]) -> None:
    account, _ = gateway.new_account("1")
    op = new_op()

    def words(kind: tuple[str, ...], amount: str) -> list[str]:
        return ["account", kind[0], account, amount, "--reason", "x", "--op", op, *kind[1:]]
    gateway.cli(*words(first, "2"))
    gateway.cli(*words(first, "2"))
    for other in (words(second, "2"), words(first, "3")):
        assert f"as {first[0]} with the amount 2" in gateway.refused(*other)
    assert gateway.balance(account) == Decimal(3)


def test_an_adjustment_without_a_reason_is_refused(gateway: Dev) -> None:
    account, _ = gateway.new_account("1")
    assert "--reason" in gateway.refused("account", "adjust", account, "1", code=2)
    assert "'reason' must say why" in gateway.refused("account", "adjust", account, "1", "--reason", " ")
    assert "zero" in gateway.refused("account", "adjust", account, "0", "--reason", "x")
    assert "nobody" in gateway.refused("account", "adjust", "nobody", "1", "--reason", "x")
    assert gateway.balance(account) == Decimal(1)


def test_a_grant_says_when_it_ends_and_is_given_once(gateway: Dev) -> None:
    account, _ = gateway.new_account("1")
    assert "--expires" in gateway.refused("account", "grant", account, "1", code=2)
    assert "--expires" in gateway.refused("account", "grant", account, "1", "--expires", "soon", code=2)
    assert "not in the future" in gateway.refused("account", "grant", account, "1", "--expires", "2020-01-01T00:00:00Z")
    assert "above zero" in gateway.refused("account", "grant", account, "-1", "--expires", FAR)
    op = new_op()
    for is_again in (False, True):
        given = gateway.cli_one("account", "grant", account, "0.5", "--expires", FAR, "--op", op)
        assert (given["amount"], given["expires_at"], given["reason"]) == ("0.5", FAR, "grant")
        assert given.get("repeated", False) is is_again
    said = gateway.refused("account", "grant", account, "0.5", "--expires", "2198-01-01T00:00:00Z", "--op", op)
    assert "another end" in said
    assert split(gateway.account_state(account)) == (Decimal(1), Decimal("0.5"))


def test_grants_are_spent_before_paid_money_and_first_the_one_that_ends_first(served: Served) -> None:
    account, key = served.new_account("1")
    served.cli("account", "grant", account, "0.25", "--expires", "2198-01-01T00:00:00Z", "--op", "later")
    call_times(served, account, key, 1)
    served.cli("account", "grant", account, "0.15", "--expires", "2197-01-01T00:00:00Z", "--op", "sooner")
    assert left(served.account_state(account)) == [("sooner", "0.15"), ("later", "0.15")]
    state = call_times(served, account, key, 2)
    assert left(state) == [("sooner", "0"), ("later", "0.1")] and split(state) == (Decimal(1), Decimal("0.1"))
    balance = served.get("/v1/balance", key)
    assert (balance["paid"], balance["granted"]) == ("1", "0.1")
    assert balance["next_expiry"] == {"amount": "0.1", "at": "2198-01-01T00:00:00.000Z"}
    state = call_times(served, account, key, 2)
    assert left(state) == [("sooner", "0"), ("later", "0")] and split(state) == (Decimal("0.9"), Decimal(0))


def test_a_refund_goes_back_to_paid_money(served: Served) -> None:
    account, key = served.new_account()
    served.cli("account", "grant", account, "0.1", "--expires", FAR)
    call_times(served, account, key, 1)
    (event,) = served.events(account)
    served.cli("usage", "refund", event["request_id"], "--reason", "it was wrong")
    assert split(served.account_state(account)) == (Decimal("0.1"), Decimal(0))


def test_what_is_unspent_of_a_grant_is_taken_back_when_it_ends(served: Served) -> None:
    account, key = served.new_account("1")
    served.cli("account", "grant", account, "0.3", "--expires", FAR, "--op", "stays")
    op = grant_that_ends_soon(served, account, "0.123456789")

    def over() -> Any:
        state = served.account_state(account)
        return state if op not in dict(left(state)) else None
    state = wait_until(over, "the grant is over")
    assert split(state) == (Decimal(1), Decimal("0.3")) and Decimal(state["held"]) == 0
    assert left(call_times(served, account, key, 1)) == [("stays", "0.2")]


class HeldCall:
    """A call of an account without paid money that waits at the model, admitted before its grant has ended."""

    def __init__(self, served: Served, upstream: Upstream) -> None:
        self.may_end, self.has_come = threading.Event(), threading.Event()
        upstream.respond = self.respond
        for seconds in (4, 16, 64):     # a slow machine is given more time
            self.account, self.key = served.new_account()
            self.replies: list[Reply] = []
            self.op = grant_that_ends_soon(served, self.account, "0.25", seconds)
            self.thread = threading.Thread(target=lambda: self.replies.append(call(served, self.key, "demo/held")))
            self.thread.start()
            assert wait_until(lambda: self.has_come.is_set() or self.replies, "the call has come")
            if self.has_come.is_set():
                return
            self.thread.join()
        raise AssertionError("no call was admitted before its grant had ended")

    def respond(self, asked: Call) -> None:
        self.has_come.set()
        self.may_end.wait()
        asked.complete("at last")

    def end(self) -> list[Reply]:
        self.may_end.set()
        self.thread.join()
        return self.replies


@pytest.fixture
def held_call(served: Served, upstream: Upstream) -> Iterator[HeldCall]:
    held = HeldCall(served, upstream)
    yield held
    held.end()


def test_a_call_under_way_keeps_what_only_the_grant_covers(served: Served, held_call: HeldCall) -> None:
    account = held_call.account

    def taken() -> Any:
        state = served.account_state(account)
        return state if Decimal(state["balance"]) == Decimal("0.1") else None
    state = wait_until(taken, "what no call holds is taken back")
    assert Decimal(state["held"]) == Decimal("0.1") and Decimal(state["available"]) == 0
    assert left(state) == [(held_call.op, "0.1")]
    assert call(served, held_call.key).status == 402, "nobody else may use it"
    assert [reply.status for reply in held_call.end()] == [200]
    state = wait_until_over(served, account)
    assert Decimal(state["balance"]) == 0 and Decimal(served.settle_down(account)["available"]) == 0
    served.cli("account", "credit", account, "1")
    assert split(served.account_state(account)) == (Decimal(1), Decimal(0))


def test_a_debt_is_not_paid_by_a_grant_that_has_ended(served: Served) -> None:
    account, _ = served.new_account()
    served.cli("account", "adjust", account, "-0.4", "--reason", "owed")
    grant_that_ends_soon(served, account, "0.5")

    def taken() -> Any:
        state = served.account_state(account)
        return state if Decimal(state["balance"]) == 0 else None
    state = wait_until(taken, "what there is is taken back")
    assert split(state) == (Decimal("-0.4"), Decimal("0.4"))
    served.cli("account", "credit", account, "1")
    assert split(wait_until_over(served, account)) == (Decimal("0.6"), Decimal(0))


def neighbours(served: Served) -> tuple[str, str]:
    """Two accounts of one partition, which is where a key's id begins."""
    accounts: dict[str, str] = {}
    while True:
        account, key = served.new_account()
        partition = key.removeprefix("sk-tg-")[:2]
        if partition in accounts:
            return accounts[partition], account
        accounts[partition] = account


def test_grants_that_wait_for_a_debt_keep_nobody_elses_from_their_end(served: Served) -> None:
    """More of them than one look takes."""
    indebted, other = neighbours(served)
    served.cli("account", "adjust", indebted, "-10", "--reason", "owed")
    ops = {grant_that_ends_soon(served, indebted, "0.1") for _ in range(20)}
    grant_that_ends_soon(served, other, "0.5")
    assert Decimal(wait_until_over(served, other)["balance"]) == 0
    assert set(dict(left(served.account_state(indebted)))) == ops
    served.cli("account", "credit", indebted, "10")
    assert Decimal(wait_until_over(served, indebted)["balance"]) == 0


def test_a_console_that_dies_while_it_takes_back_is_succeeded(served: Served) -> None:
    """Killed again and again while grants end: whatever it had set aside, or written, each is taken back once."""
    accounts = {}
    for number in range(6):
        account, key = served.new_account("1")
        call_times(served, account, key, number % 2)
        grant_that_ends_soon(served, account, "0.2")
        accounts[account] = Decimal(1) - number % 2 * Decimal("0.1")
        (console,) = served.children("console")
        os.kill(console, signal.SIGKILL)
        wait_until(lambda: served.children("console") not in ([], [console]), "another console runs")
    for account, paid in accounts.items():
        state = wait_until_over(served, account)
        assert split(state) == (paid, Decimal(0)) and Decimal(state["held"]) == 0
        assert Decimal(state["available"]) == paid


def test_a_rebuild_gives_the_same_grants(served: Served) -> None:
    account, key = served.new_account("1")
    served.cli("account", "grant", account, "0.35", "--expires", FAR)
    grant_that_ends_soon(served, account, "0.15")
    call_times(served, account, key, 1)
    served.cli("account", "adjust", account, "-0.1", "--reason", "counted twice")
    wait_until(lambda: len(served.account_state(account)["grants"]) == 1, "one grant has ended")
    served.ship()
    state, before = served.account_state(account), canonical_dump(served.redis)
    served.cli("journal", "rebuild", "--from-zero")
    served.ship()
    assert not differences(before, canonical_dump(served.redis))
    assert served.account_state(account) == state


def redis(dev: Dev, *words: str) -> str:
    return subprocess.run(["redis-cli", "-s", dev.redis_socket, *words], capture_output=True, text=True, check=True).stdout


def rows_of(bundle: Path, account: str) -> list[dict[str, Any]]:
    """The account's rows of accounts.csv, amounts as decimals; each adds up."""
    with (bundle / "accounts.csv").open(newline="") as file:
        found = [row for row in csv.DictReader(file) if row["account"] == account]
    for row in found:
        for name in MOVES:
            row[name] = Decimal(row[name])
        assert sum(row[name] for name in MOVES[:-1]) == row["change"]
    return found


MOVES = ("credited", "granted", "expired", "adjusted", "refunded", "charged", "change")


def test_a_month_with_grants_adjustments_and_refunds_closes(tmp_path: Path) -> None:
    with Dev(tmp_path / "dev") as dev:
        dev.start()
        began = dev.balance("demo")
        with dev.wire() as wire:
            body = {"model": "demo/echo", "messages": [{"role": "user", "content": "one two three"}]}
            dev.cli("account", "grant", "demo", "0.00001", "--expires", FAR)
            assert {wire.ask(wire.chat(body)).status for _ in range(5)} == {200}
        dev.settle_down()
        events = dev.events()
        first = events[0]["period"]
        second = after(first)
        ends = noon_of_the_second(second)
        dev.cli("account", "grant", "demo", "7", "--expires", ends, "--op", "ends")
        dev.cli("account", "adjust", "demo", "-0.5", "--reason", "booked twice")
        dev.cli("usage", "refund", events[0]["request_id"], "--reason", "it was wrong")
        paid, balance = split(dev.account_state())[0], dev.balance("demo")
        dev.restart("--clock", noon_of_the_second(second))
        state = wait_until(lambda: "ends" not in dict(left(dev.account_state())) and dev.account_state(), "it has ended")
        assert split(state) == (paid, Decimal(0))
        wait_until(lambda: not dev.cli_one("settle", "status", first)["reasons"], f"{first} can be closed")
        (key,) = redis(dev, "KEYS", "tg:{a*}:booked").split()
        redis(dev, "HINCRBY", key, f"{first} grant demo CNY", "1")
        assert 'money of account "grant demo CNY" has' in dev.refused("settle", "close", first)
        redis(dev, "HINCRBY", key, f"{first} grant demo CNY", "-1")
        bundles = [tmp_path / first, tmp_path / second]
        dev.cli("settle", "close", first, "--out", str(bundles[0]))
        dev.restart("--clock", noon_of_the_second(after(second)))
        wait_until(lambda: not dev.cli_one("settle", "status", second)["reasons"], f"{second} can be closed")
        dev.cli("settle", "close", second, "--out", str(bundles[1]))
        for bundle in bundles:
            assert verify(bundle) is None and verify(bundle, "--archive", str(dev.state / "archive")) is None
        (row,) = rows_of(bundles[0], "demo")
        assert (row["credited"], row["granted"], row["expired"]) == (began, Decimal("7.00001"), 0)
        assert (row["adjusted"], row["change"]) == (Decimal("-0.5"), balance)
        assert row["charged"] == -sum(Decimal(event["amount"]) for event in events)
        assert row["refunded"] == Decimal(events[0]["amount"])
        (row,) = rows_of(bundles[1], "demo")
        assert (row["expired"], row["change"]) == (paid - balance, paid - balance)
        with (bundles[0] / "accounts.csv").open("ab") as file:
            file.write(b"\n")
        assert "accounts.csv is damaged" in (verify(bundles[0]) or "")
