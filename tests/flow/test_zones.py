"""Budgets in the account's own time zone: the day that a call counts on is that of its account where it began, and stays so."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from redis_dump import canonical_dump, differences
from test_budgets import CALL, PRICES, ask, check_refused
from test_two_hosts import offset_to
from test_webhooks import QUICK, Receiver, hooked
from tollgate import Served, wait_until
from wire import Reply, Wire

# The host's clock begins here: in New York the day has begun half an hour ago and has 23 hours, in Los Angeles it is still
# the day before, on the platform it is noon.
BEGIN = "2027-03-14T05:30:00+00:00"
NEW_YORK, LOS_ANGELES = "America/New_York", "America/Los_Angeles"
TODAY = {"": "2027-03-14", NEW_YORK: "2027-03-14", LOS_ANGELES: "2027-03-13"}
LONG = {"model": "demo/slow", "stream": True, "max_completion_tokens": 600, "messages": [{"role": "user", "content": "a " * 600}]}


@pytest.fixture(scope="module")
def host(serve_for_module: Callable[[str], Served], certificate: tuple[Path, Path]) -> Iterator[Served]:
    own = serve_for_module("zones")
    own.backends = {"fast": {"kind": "echo"}, "slow": {"kind": "echo", "delay": "1 s"}}
    own.options = {**QUICK, "webhook_ca_file": str(certificate[0]), "testing": True, "clock_offset": offset_to(BEGIN)}
    yield own.start().set_up("1", [{"id": f"demo/{name}", "price": "dime", "backends": [{"name": name}]}
                                   for name in ("fast", "slow")], PRICES)


def now_of(host: Served) -> datetime:
    return datetime.now(UTC) + timedelta(milliseconds=host.options["clock_offset"])


def spent(host: Served, account: str) -> dict[str, str]:
    """By window: the nanos of the account's calls in it."""
    keys = host.redis.command("KEYS", f"tg:{{*}}:spent:{account}:*").splitlines()
    return {key.split(":")[4]: host.redis.command("HGET", key, "account").strip() for key in keys}


def days(host: Served, account: str) -> list[str | None]:
    """On which the calls began, as their records say."""
    return [event.get("began_on") for event in host.events(account)]


@contextmanager
def running(host: Served, key: str) -> Iterator[Wire]:
    """A stream that has begun, which would go on for ten minutes, to be hung up at the end."""
    with host.wire(key, 120) as wire:
        wire.send(wire.chat(LONG))
        reply = Reply()
        next(wire.stream(reply))
        yield wire


@pytest.mark.parametrize("zone", TODAY)
def test_a_call_counts_on_the_day_of_its_account(host: Served, zone: str) -> None:
    account, key = host.new_account("10", "--prepaid", *(("--zone", zone) if zone else ()))
    assert [reply.status for reply in ask(host, key, 3)] == [200] * 3
    host.settle_down(account)
    assert days(host, account) == [TODAY[zone] if zone else None] * 3
    assert spent(host, account) == {TODAY[zone]: "300000000", "2027-03": "300000000"}
    shown = host.account_state(account)
    assert shown["zone"] == (zone or None)


def test_a_budget_begins_anew_when_the_accounts_day_is_over(host: Served) -> None:
    account, key = host.new_account("10", "--prepaid", "--budget-day", "0.10", "--zone", NEW_YORK)
    earlier = now_of(host)
    good, refused = ask(host, key, 2)
    assert good.status == 200
    check_refused(refused, "day", "0.1")
    ends = datetime(2027, 3, 15, tzinfo=ZoneInfo(NEW_YORK)).astimezone(UTC)
    assert ends - datetime(2027, 3, 14, tzinfo=ZoneInfo(NEW_YORK)).astimezone(UTC) == timedelta(hours=23)
    assert (ends - now_of(host)).total_seconds() - 2 < int(refused.headers["retry-after"]) < (ends - earlier).total_seconds() + 2


def test_the_balance_is_that_of_the_accounts_day(host: Served) -> None:
    account, key = host.new_account("10", "--prepaid", "--budget-day", "0.30", "--budget-month", "9", "--zone", LOS_ANGELES)
    assert [reply.status for reply in ask(host, key, 2)] == [200, 200]
    host.settle_down(account)
    for base, path in ((host.api, "/v1/balance"), (host.console, "/api/v1/client/balance")):
        balance = host.get(path, key, base)
        assert balance["zone"] == LOS_ANGELES
        assert [(one["window"], one["spent"], one["ends_at"]) for one in balance["budgets"]] == \
            [("day", "0.2", "2027-03-14T08:00:00.000Z"), ("month", "0.2", "2027-04-01T07:00:00.000Z")]
    usage = host.get("/api/v1/client/usage", key, host.console)
    assert (usage["period"], usage["currencies"][0]["days"]) == ("2027-03", [{"day": "2027-03-13", "calls": 2, "amount": "0.2"}])
    host.cli("account", "limit", account, "--zone", "none")
    balance = host.get("/v1/balance", key)
    assert balance["zone"] == "Asia/Shanghai"
    assert [(one["window"], one["spent"], one["ends_at"]) for one in balance["budgets"]] == \
        [("day", "0", "2027-03-14T16:00:00.000Z"), ("month", "0.2", "2027-03-31T16:00:00.000Z")]


def test_a_threshold_is_told_of_the_accounts_day(host: Served, certificate: tuple[Path, Path]) -> None:
    with Receiver(certificate) as receiver:
        account, key, webhook = hooked(host, receiver, "--budget-day", "0.20", "--zone", LOS_ANGELES)
        assert [reply.status for reply in ask(host, key, 2)] == [200, 200]

        def told() -> set[tuple[str, int]]:
            return {(call.json["data"]["period"], call.json["data"]["threshold"]) for call in receiver.of(webhook["secret"])}
        wait_until(lambda: len(told()) >= 3, "every threshold is told", 60)
        assert told() == {("2027-03-13", percent) for percent in (80, 95, 100)}


def test_another_zone_is_another_day_from_the_next_call_on(host: Served) -> None:
    account, key = host.new_account("10", "--prepaid", "--budget-day", "0.10")
    assert [reply.status for reply in ask(host, key, 2)] == [200, 429]
    host.cli("account", "limit", account, "--zone", LOS_ANGELES)
    assert host.account_state(account)["budget_day"] == "0.1"
    assert [reply.status for reply in ask(host, key, 2)] == [200, 429], "there it is still yesterday, of which nothing was spent"
    host.cli("account", "limit", account, "--zone", "none")
    assert host.account_state(account)["zone"] is None
    assert [reply.status for reply in ask(host, key)] == [429], "what was spent keeps its day"
    host.settle_down(account)
    assert days(host, account) == [None, "2027-03-13"]
    assert spent(host, account) == {"2027-03-14": "100000000", "2027-03-13": "100000000", "2027-03": "200000000"}


def test_what_runs_keeps_its_day_whatever_the_zone_becomes(host: Served) -> None:
    account, key = host.new_account("10", "--prepaid", "--zone", NEW_YORK)
    with running(host, key):
        host.cli("account", "limit", account, "--zone", LOS_ANGELES, "--budget-day", "0.10")
        assert [reply.status for reply in ask(host, key, 2)] == [200, 429], "what runs counts on another day"
    host.settle_down(account)
    assert {event["outcome"]: event["began_on"] for event in host.events(account)} == \
        {"client_closed": "2027-03-14", "complete": "2027-03-13"}
    assert spent(host, account) == {"2027-03-14": "100000000", "2027-03-13": "100000000", "2027-03": "200000000"}


def test_a_call_keeps_its_day_when_its_worker_dies(host: Served) -> None:
    account, key = host.new_account("10", "--prepaid", "--zone", LOS_ANGELES)
    with running(host, key):
        host.cli("account", "limit", account, "--zone", NEW_YORK)
        killed = host.workers()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: len(host.workers()) == 2 and not set(killed) & set(host.workers()), "the workers are started again")
        host.wait_ready()
    host.settle_down(account)
    (event,) = host.events(account)
    assert (event["began_on"], event["outcome"] in ("killed", "void")) == ("2027-03-13", True)
    assert set(spent(host, account)) == {"2027-03-13", "2027-03"}


def test_a_rebuild_gives_every_call_its_day_again(host: Served) -> None:
    accounts = [host.new_account("10", "--prepaid", *(("--zone", zone) if zone else ())) for zone in TODAY]
    for zone, (account, key) in zip(TODAY, accounts, strict=True):
        assert ask(host, key)[0].status == 200
        host.settle_down(account)
        host.cli("account", "limit", account, "--zone", LOS_ANGELES, "--budget-day", "0.10")
        assert [reply.status for reply in ask(host, key, 2)] == ([200, 429] if TODAY[zone] != TODAY[LOS_ANGELES] else [429, 429])
    before = settled(host)
    host.redis.command("FLUSHALL")
    host.cli("journal", "rebuild")
    wait_until(lambda: not differences(before, settled(host)) or None, "it is what it was")
    for _, key in accounts:
        wait_until(lambda key=key: ask(host, key)[0].status == 429, "calls are decided again, and the budget is spent", 60)


def test_without_redis_a_call_counts_in_the_zone_that_was_named_last(host: Served) -> None:
    """By a key that has never called before; whoever knows the account's credit knows its zone."""
    account, key = host.new_account(None, "--postpaid", "--credit-limit", "5", "--zone", LOS_ANGELES)
    other = host.cli_one("key", "create", account)["secret"]
    with host.wire(other, 120) as wire:      # one worker, which has the key's own answer, but no call of it
        assert wire.ask(wire.head("GET", "/v1/models")).status == 200
        assert wire.ask(wire.chat(CALL, {"Authorization": f"Bearer {key}"})).status == 200
        host.redis.kill()
        assert wire.ask(wire.chat(CALL)).status == 200
    host.redis.start()
    host.wait_ready()
    host.settle_down(account)
    assert days(host, account) == ["2027-03-13"] * 2
    assert spent(host, account) == {"2027-03-13": "200000000", "2027-03": "200000000"}


def settled(host: Served) -> dict[str, Any]:
    host.settle_down()
    host.ship()
    return canonical_dump(host.redis)


def test_what_is_no_zone_is_refused_with_one_sentence(host: Served) -> None:
    account, key = host.new_account("1", "--prepaid", "--zone", NEW_YORK)
    for wrong in ("Mars/Olympus", "+08:00", "localtime", "CST-8", "../zoneinfo/UTC", "x" * 300):
        said = host.refused("account", "limit", account, "--zone", wrong)
        assert "is not known to this machine" in said and "Europe/Berlin" in said, said
    assert "zone" in host.refused("account", "limit", account, "--model", "demo/fast", "--zone", NEW_YORK)
    assert "Mars" in host.refused("account", "create", "martian", "--currency", "CNY", "--prepaid", "--zone", "Mars/Olympus")
    assert host.account_state(account)["zone"] == NEW_YORK
    assert "other terms" in host.refused("account", "create", account, "--currency", "CNY", "--prepaid")


def test_a_zone_that_this_machine_lost_admits_nobody_and_says_so(host: Served) -> None:
    account, key = host.new_account("1", "--prepaid")
    (entry,) = host.redis.command("KEYS", f"tg:{{*}}:account:{account}").splitlines()
    host.redis.command("HSET", entry, "zone", "Mars/Olympus")       # as another host's newer tzdata might
    (reply,) = ask(host, key)
    assert reply.status == 503
    wait_until(lambda: f'account {account}: time zone \\"Mars/Olympus\\" is not known to this machine' in host.log_text(),
               "the log says so")
    host.redis.command("HSET", entry, "zone", "")
    assert ask(host, key)[0].status == 200
    assert host.settle_down(account)["balance"] == str(Decimal("0.9"))
