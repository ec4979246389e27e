"""Calls that Redis no longer has: they are trimmed once archived, and look-ups go on from the archive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import money
from tollgate import Served, wait_until

CALLS = 60
KEPT = 5


class Trimmed:
    """A gateway with calls of two accounts, all but each account's newest KEPT trimmed; and what was said of them before."""

    def __init__(self, served: Served) -> None:
        self.served = served
        served.options = {"recent_time": "1 s", "recent_calls": KEPT, "journal_segment": "256 KiB"}
        served.start().set_up()
        self.accounts = [served.new_account("10") for _ in range(2)]
        self.before = {account: self.call(key) for account, key in self.accounts}
        self.quiet, self.quiet_key = served.new_account("10")
        self.archive_all()
        for account, _ in self.accounts:
            wait_until(lambda account=account: self.length("events", account) == KEPT, "the stream is trimmed")

    def call(self, key: str) -> list[Any]:
        """Makes the calls; what `GET /v1/usage` says of them, newest first."""
        with self.served.wire(key) as wire:
            for i in range(CALLS):
                body = {"model": "demo/echo", "messages": [{"role": "user", "content": "w " * (i + 1)}]}
                assert wire.ask(wire.chat(body)).is_whole
        self.served.ship()
        return self.pages(key, 25)

    def archive_all(self) -> None:
        self.served.cli("settle", "preview", self.period(), "--out",
                        str(self.served.state.parent / "preview"))

    def period(self) -> str:
        return next(iter(self.before.values()))[0]["period"]

    def length(self, what: str, account: str) -> int:
        """Of the account's stream or index in Redis, wherever its partition is."""
        redis = self.served.redis
        names = redis.command("--scan", "--pattern", f"tg:{{a*}}:{what}:{account}").split()
        assert len(names) == 1, names
        return int(redis.command("XLEN" if what == "events" else "HLEN", names[0]))

    def pages(self, key: str, limit: int) -> list[Any]:
        listed: list[Any] = []
        query = f"?limit={limit}"
        while True:
            page = self.served.get(f"/v1/usage{query}", key)
            listed += page["data"]
            if not page["has_more"]:
                return listed
            assert len(page["data"]) == limit, "a page that is not the last must be full"
            query = f"?limit={limit}&before={page['data'][-1]['request_id']}"


def in_order(events: list[Any]) -> list[Any]:
    """Newest first; Redis lists calls of one millisecond as they were booked, the archive by their ids."""
    ends = [event["ended_at"] for event in events]
    assert ends == sorted(ends, reverse=True)
    return sorted(events, key=lambda event: (event["ended_at"], event["request_id"]), reverse=True)


@pytest.fixture(scope="module")
def trimmed(serve_for_module: Callable[[str], Served]) -> Iterator[Trimmed]:
    yield Trimmed(serve_for_module("old-calls"))


def test_the_index_has_what_the_stream_has(trimmed: Trimmed) -> None:
    for account, _ in trimmed.accounts:
        assert trimmed.length("index", account) == KEPT
    assert trimmed.served.get("/v1/balance", trimmed.accounts[0][1])["held"] == "0"


@pytest.mark.parametrize("limit", [1000, CALLS, 7, KEPT, 3])
def test_pages_go_on_from_redis_into_the_archive(trimmed: Trimmed, limit: int) -> None:
    for account, key in trimmed.accounts:
        assert in_order(trimmed.pages(key, limit)) == in_order(trimmed.before[account])


def test_every_old_call_is_found_by_its_id(trimmed: Trimmed) -> None:
    (account, key), (_, other_key) = trimmed.accounts
    for event in trimmed.before[account]:
        assert trimmed.served.get(f"/v1/usage/{event['request_id']}", key) == event
    oldest = trimmed.before[account][-1]["request_id"]
    assert trimmed.served.try_get(f"/v1/usage/{oldest}", other_key)[0] == 404
    assert trimmed.served.try_get(f"/v1/usage/{oldest[:-4]}0000", key)[0] == 404
    assert trimmed.served.try_get("/v1/usage/req_" + "f" * 32, key)[0] == 404


def test_a_receipt_of_an_old_call_verifies_against_the_archive(trimmed: Trimmed) -> None:
    account, key = trimmed.accounts[0]
    oldest = trimmed.before[account][-1]["request_id"]
    status, receipt = trimmed.served.try_get(f"/v1/usage/{oldest}/receipt", key)
    assert status == 200
    file = trimmed.served.state.parent / "receipt.jws"
    file.write_text(receipt)
    trimmed.served.cli("receipt", "verify", str(file), "--archive", str(trimmed.served.state / "archive"))


def test_the_command_line_shows_old_calls_too(trimmed: Trimmed) -> None:
    account, _ = trimmed.accounts[1]
    listed = trimmed.served.cli("usage", "list", "--account", account, "--limit", "1000")
    assert {event["request_id"] for event in listed} == {event["request_id"] for event in trimmed.before[account]}
    assert len(trimmed.served.cli("usage", "list", "--limit", "1000")) == 2 * CALLS
    oldest = listed[-1]
    assert trimmed.served.cli_one("usage", "show", oldest["request_id"]) == oldest
    assert "no call" in trimmed.served.refused("usage", "show", "req_" + "0" * 32)


def test_what_names_no_call_is_refused_as_before(trimmed: Trimmed) -> None:
    for key in (trimmed.accounts[0][1], trimmed.quiet_key):
        status, body = trimmed.served.try_get("/v1/usage?before=req_" + "0" * 32, key)
        assert status == 404 and "before" in body["error"]["message"]
    assert trimmed.pages(trimmed.quiet_key, 20) == []


def test_calls_go_on_and_the_list_is_whole(trimmed: Trimmed) -> None:
    account, key = trimmed.accounts[0]
    with trimmed.served.wire(key) as wire:
        assert wire.ask(wire.chat({"model": "demo/echo", "messages": [{"role": "user", "content": "one more"}]})).is_whole
    trimmed.served.ship()
    listed = trimmed.pages(key, 10)
    assert len(listed) == CALLS + 1 and in_order(listed[1:]) == in_order(trimmed.before[account])
    trimmed.before[account] = listed


def xadds(served: Served) -> int:
    """Entries that streams were given since the counters were reset, also those that went again."""
    for line in served.redis.command("INFO", "commandstats").splitlines():
        if line.startswith("cmdstat_xadd:"):
            return int(line.split("calls=")[1].split(",")[0])
    return 0


def test_a_rebuild_puts_what_is_archived_and_old_into_no_stream_and_it_is_found(trimmed: Trimmed) -> None:
    """Only the last call is not archived. What the trimmer leaves would be KEPT of each account."""
    served = trimmed.served
    balances = {account: served.balance(account) for account, _ in trimmed.accounts}
    (last, last_key), (other, other_key) = trimmed.accounts
    served.redis.command("FLUSHALL")
    served.redis.command("CONFIG", "RESETSTAT")
    served.cli("journal", "rebuild")
    assert xadds(served) < CALLS, "calls went through the streams"
    assert trimmed.length("events", last) == trimmed.length("index", last) == 1
    assert served.redis.command("--scan", "--pattern", f"tg:{{a*}}:events:{other}").split() == []
    assert {account: served.balance(account) for account, _ in trimmed.accounts} == balances
    for _, key in (*trimmed.accounts, ("", trimmed.quiet_key)):
        wait_until(lambda key=key: served.try_get("/v1/balance", key)[0] == 200, "its partition admits again")
    for account, key in trimmed.accounts:
        for limit in (1000, 7):
            assert in_order(trimmed.pages(key, limit)) == in_order(trimmed.before[account])
        for event in trimmed.before[account][::7]:
            assert served.get(f"/v1/usage/{event['request_id']}", key) == event
    assert trimmed.pages(trimmed.quiet_key, 20) == []
    assert len(served.cli("usage", "list", "--account", other, "--limit", "1000")) == CALLS
    wait_until(lambda: not served.refused_or_done("account", "list"), "every partition admits again, so any call is found")
    oldest = trimmed.before[other][-1]
    served.cli("usage", "refund", oldest["request_id"], "--reason", "old", "--op", "refund-old")
    assert served.balance(other) == balances[other] + money.total([oldest])
    with served.wire(other_key) as wire:
        assert wire.ask(wire.chat({"model": "demo/echo", "messages": [{"role": "user", "content": "on"}]})).is_whole
    served.ship()
    assert len(trimmed.pages(other_key, 7)) == CALLS + 1
