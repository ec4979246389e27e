"""A Cluster over TLS whose servers ask for certificates: what is promised of one Redis holds for several. One Cluster and
one gateway serve all of this file; another host burns before the first test, and has been silent when it is retired."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import money
import tollgate
from load import FAST, Load, check_refused, pages
from redis_dump import canonical_dump, differences
from redis_servers import DEAD_MS, Cluster, Server, client_certificate, make_authority
from test_lost_host import destroy, retire
from test_month_end import after, noon_of_the_second
from test_two_hosts import offset_to
from tollgate import Served, wait_until
from wire import Reply

MODELS = [{"id": "demo/fast", "backends": [{"name": "fast"}]}]
KEPT = 5        # calls of each account that trimming leaves


class Books:
    """A gateway, its Cluster, accounts on each of its masters, and what these were given."""

    def __init__(self, gateway: Served, cluster: Cluster) -> None:
        self.gateway, self.cluster = gateway, cluster
        self.keys: dict[str, str] = {}
        self.given: dict[str, Decimal] = {}
        self.refunded = Decimal(0)
        self.answered: set[str] = set()
        self.lost_writers: list[str] = []
        while len({self.master_of(account) for account in self.keys}) < 3:
            account, key = gateway.new_account("10")
            self.keys[account], self.given[account] = key, Decimal(10)

    def master_of(self, account: str) -> Server:
        """An account's partition stands in its key."""
        return self.cluster.master_of(self.cluster.slot_of(f"a{self.keys[account].removeprefix('sk-tg-')[:2]}"))

    def call(self, count: int, host: Served | None = None) -> None:
        """So many calls of each account."""
        for key in self.keys.values():
            with (host or self.gateway).wire(key) as wire:
                replies = [wire.ask(wire.chat(FAST)) for _ in range(count)]
            self.answered |= {reply.headers["x-request-id"] for reply in replies if reply.status == 200}
            assert {reply.status for reply in replies} == {200}, replies

    def wait_admitted(self) -> None:
        """Until calls of each account are admitted again, by every worker."""
        self.gateway.wait_ready()
        for key in self.keys.values():
            wait_until(lambda key=key: self.is_admitted(key), "calls are admitted again")

    def is_admitted(self, key: str) -> bool:
        with self.gateway.wire(key) as wire:
            reply = wire.ask(wire.chat(FAST))
        if reply.status == 200:
            self.answered.add(reply.headers["x-request-id"])
        else:
            check_refused([reply])
        return reply.status == 200

    def credit(self, account: str) -> None:
        """Asked until it is done, and once more."""
        self.insist("account", "credit", account, "1")
        self.given[account] += 1

    def refund(self, event: Any) -> None:
        account, amount = event["account"], Decimal("0.000001")
        self.insist("usage", "refund", event["request_id"], money.spelled(amount), "--reason", "it was cut off")
        self.given[account] += amount
        self.refunded += amount

    def insist(self, *words: str) -> None:
        words = (*words, "--op", f"op-{uuid.uuid4()}")
        for _ in range(2):
            wait_until(lambda: tollgate.run(*words, config=self.gateway.config).returncode == 0, " ".join(words))

    def events(self) -> list[Any]:
        self.gateway.ship()
        return [event for key in self.keys.values() for event in pages(self.gateway, key)]

    def check(self) -> list[Any]:
        """The calls that were answered, and no others, are there as complete ones, each once; each balance, and what creators
        earned, is what all calls leave."""
        for account in self.keys:
            self.gateway.settle_down(account)
        events = self.events()
        complete = [event["request_id"] for event in events if event["outcome"] == "complete"]
        assert len(set(complete)) == len(complete) and self.answered == set(complete)
        for account, given in self.given.items():
            paid = money.total(event for event in events if event["account"] == account)
            assert self.gateway.balance(account) == given - paid
        periods = {event["period"] for event in events}
        earned = [self.gateway.cli_one("creator", "show", "demo", "--period", period)["currencies"] for period in periods]
        assert sum(Decimal(sums["gross"]) for (sums,) in earned) == money.total(events)
        assert sum(Decimal(sums["refunded"]) for (sums,) in earned) == self.refunded
        assert self.gateway.suspense() == []
        return events

    def settled_dump(self) -> dict[str, Any]:
        for account in self.keys:
            self.gateway.settle_down(account)
        self.gateway.ship()
        return self.dump()

    def dump(self) -> dict[str, Any]:
        """What all masters hold together."""
        return {key: value for master in self.cluster.masters() for key, value in canonical_dump(master).items()}

    def restart(self, **options: Any) -> None:
        self.gateway.stop_serving()
        self.gateway.options |= options
        self.gateway.write_config()
        self.gateway.serve().wait_ready()


class Repeats:
    """Calls with an Idempotency-Key, each sent until it is answered and then once more."""

    def __init__(self, gateway: Served, key: str) -> None:
        self.gateway, self.key = gateway, key
        self.answered: list[str] = []
        self.is_over = threading.Event()
        self.failures: list[Any] = []
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Repeats:
        self.thread.start()
        return self

    def __exit__(self, *rest: Any) -> None:
        self.is_over.set()
        self.thread.join()

    def _run(self) -> None:
        with self.gateway.wire(self.key) as wire:
            while not self.is_over.is_set():
                data = wire.chat(FAST, {"Idempotency-Key": f"order-{uuid.uuid4()}"})
                first, again = (self._until_answered(wire.ask, data) for _ in range(2))
                if first.headers["x-request-id"] != again.headers["x-request-id"]:
                    self.failures.append((first, again))
                self.answered.append(first.headers["x-request-id"])

    @staticmethod
    def _until_answered(ask: Any, data: bytes) -> Reply:
        while (reply := ask(data)).status in (409, 503):
            time.sleep(0.05)
        assert reply.status in (200, 410), reply
        return reply


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, authority: dict[str, Path]) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield stack.enter_context(Cluster(tmp_path_factory.mktemp("cluster"), authority, silence_ms=DEAD_MS))


@pytest.fixture(scope="module")
def books(serve_for_module: Any, cluster: Cluster, authority: dict[str, Path]) -> Books:
    gateway, second = serve_for_module("first"), serve_for_module("second")
    gateway.backends = {"fast": {"kind": "echo", "delay": "20 ms"}}     # else thousands of calls are to be trimmed
    gateway.owns_redis = False
    gateway.options = {"redis": cluster.address, **client_certificate(authority), "testing": True,
                       "redis_timeout": "3 s", "recovering_wait": "10 s"}
    gateway.write_config()
    gateway.serve().set_up("100", MODELS)
    second.join(gateway).serve().wait_ready()
    books = Books(gateway, cluster)
    books.call(2, second)
    for account in books.keys:
        second.settle_down(account)
    second.ship()
    books.lost_writers = destroy(second)
    return books


@pytest.fixture(scope="module")
def retired(books: Books) -> list[Any]:
    """The records of the burnt host's writers, without which a Redis that is emptied can't be filled, nor a month closed."""
    return [retire(books.gateway, writer) for writer in books.lost_writers]


def test_servers_that_ask_for_a_certificate_take_no_other(served: Served, cluster: Cluster, authority: dict[str, Path]) -> None:
    served.options = {"redis": cluster.address, "redis_ca": authority["ca"]}
    served.write_config()
    served.serve()
    wait_until(lambda: "certificate required" in served.log_text(), "the log says why")
    assert served.try_get("/readyz")[0] == 503


def test_while_a_master_dies_calls_credits_and_refunds_count_once(books: Books) -> None:
    books.call(2)
    account, key = next(iter(books.keys.items()))
    events = books.events()
    victim = books.master_of(account)
    replica = books.cluster.replica_of(victim)
    loads = [Load(books.gateway, key, 2) for key in books.keys.values()]
    with ExitStack() as stack:
        repeats = stack.enter_context(Repeats(books.gateway, key))
        for load in loads:
            stack.enter_context(load)
            load.wait_for_more(10)
        victim.kill()
        books.credit(account)
        books.refund(next(event for event in events if event["account"] == account))
        wait_until(lambda: replica.info("replication").get("role") == "master", "a replica takes over")
        for load in loads:
            load.wait_for_more(10)
        seen = len(repeats.answered)
        wait_until(lambda: len(repeats.answered) > seen + 5, "calls are repeated")
        victim.start()
    wait_until(lambda: victim.info("replication").get("master_link_status") == "up", "it follows the new one")
    for load in loads:
        check_refused(load.refused)
        books.answered |= load.answered
    assert not repeats.failures and len(set(repeats.answered)) == len(repeats.answered)
    books.answered |= set(repeats.answered)
    books.check()


def test_a_lost_host_is_completed_from_every_master(books: Books, retired: list[Any]) -> None:
    assert all(record["lost_records"] == 0 and record["lost"] == [] for record in retired)
    assert sum(record["saved"] for record in retired) >= 2 * len(books.keys)
    books.check()


@pytest.mark.usefixtures("retired")
def test_masters_that_lost_everything_become_what_they_were(books: Books) -> None:
    books.call(3)
    before = books.settled_dump()
    for count in (1, 3):
        for master in books.cluster.masters()[:count]:
            master.must("FLUSHALL")
        assert len(differences(before, books.dump())) > 20
        books.gateway.cli("journal", "rebuild")
        assert differences(before, books.settled_dump()) == []
    books.wait_admitted()
    books.check()


@pytest.mark.usefixtures("retired")
def test_what_is_archived_leaves_every_master_and_is_listed_on(books: Books) -> None:
    books.call(2 * KEPT)
    books.restart(recent_time="1 s", recent_calls=KEPT)
    before = books.events()
    books.gateway.cli("settle", "preview", before[0]["period"])
    for account in books.keys:
        wait_until(lambda account=account: length(books, account) == KEPT, "the stream is trimmed")
    assert identified(books.events()) == identified(before)
    for account in books.keys:
        listed = books.gateway.cli("usage", "list", "--account", account, "--limit", "1000")
        own = [event for event in before if event["account"] == account]
        assert identified(listed).keys() == identified(own).keys() and money.total(listed) == money.total(own)
    books.check()


def length(books: Books, account: str) -> int:
    """Of the account's stream of calls."""
    partition = f"a{books.keys[account].removeprefix('sk-tg-')[:2]}"
    return int(books.master_of(account).must("XLEN", f"tg:{{{partition}}}:events:{account}"))


def identified(events: list[Any]) -> dict[str, Any]:
    return {event["request_id"]: event for event in events}


@pytest.mark.usefixtures("retired")
def test_months_close(books: Books, tmp_path: Path) -> None:
    gateway, archive = books.gateway, str(books.gateway.archive)
    books.call(2)
    events = books.check()
    first = events[0]["period"]
    second, third = after(first), after(first, 2)

    books.restart(clock_offset=offset_to(noon_of_the_second(second)))
    books.refund(events[0])
    books.call(1)
    assert close(gateway, first, tmp_path / first, archive)["events"] == len(events)
    events_of_both = books.check()

    books.restart(clock_offset=offset_to(noon_of_the_second(third)))
    verdict = close(gateway, second, tmp_path / second, archive, "--previous", str(tmp_path / first))
    assert verdict["events"] == len(events_of_both) - len(events)
    books.check()


def close(gateway: Served, period: str, out: Path, archive: str, *options: str) -> Any:
    """What `settle verify` says of it."""
    wait_until(lambda: not gateway.cli_one("settle", "status", period)["reasons"], f"{period} can be closed")
    gateway.cli("settle", "close", period, "--out", str(out))
    return gateway.cli_one("settle", "verify", str(out), "--archive", archive, *options)
