"""No limit is overshot: credit, concurrency, requests and tokens a minute, through two gateways on one Redis."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from tollgate import Gateway, Served, wait_until
from upstream import Call, Upstream
from wire import Reply, Wire

PRICES = {"dime": {"call": "0.10", "input_tokens": "0", "output_tokens": "0"}}
CAP = 10
HELD = {"model": "demo/held", "messages": [{"role": "user", "content": "hold on"}]}
FAST = {"model": "demo/fast", "messages": [{"role": "user", "content": "a b c"}], "max_completion_tokens": CAP}
DIME = Decimal("0.10")
ALLOWANCE = Decimal("0.50")     # five calls of 0.10, for each worker while Redis is away
OWING = ("--postpaid", "--credit-limit", "100")
USED = 6                # tokens of FAST: three words in, three out


@dataclass
class Pair:
    """Two hosts on one Redis and one archive, and the server behind both, which holds calls until it is told."""
    first: Served
    second: Served
    upstream: Upstream

    def __post_init__(self) -> None:
        self.usage = (2, 1)             # what the server states
        self.may_answer = threading.Event()
        self.trying: list[Open] = []
        self.upstream.respond = self._respond

    def _respond(self, call: Call) -> None:
        self.may_answer.wait()
        call.complete("done", usage=self.usage)

    @property
    def both(self) -> tuple[Served, Served]:
        return self.first, self.second

    def hold(self) -> None:
        self.may_answer.clear()

    def let_go(self) -> None:
        self.may_answer.set()

    def end_trying(self) -> None:
        """All calls that were let through get their answer."""
        self.let_go()
        counts: Counter[int] = Counter()
        for tried in self.trying:
            counts += tried.end()
        assert set(counts) <= {200, 402}, counts
        self.trying.clear()


@pytest.fixture(scope="module")
def pair(serve_for_module: Callable[[str], Served]) -> Iterator[Pair]:
    with Upstream() as upstream:
        first, second = serve_for_module("first"), serve_for_module("second")
        first.backends = {"held": {"kind": "openai", "url": upstream.url, "breaker_failures": 0}, "fast": {"kind": "echo"}}
        first.options = {"redis_timeout": "3 s", "recovering_wait": "3 s", "offline_allowance": str(ALLOWANCE)}
        models = [{"id": f"demo/{name}", "price": "dime", "backends": [{"name": name}]}
                  for name in ("held", "fast")]
        first.start().set_up("1", models, PRICES)
        second.join(first).serve().wait_ready()
        yield Pair(first, second, upstream)
        second.stop()


@pytest.fixture(autouse=True)
def wait_until_both_are_well(pair: Pair) -> Iterator[None]:
    pair.hold()
    pair.usage = (2, 1)
    yield
    pair.let_go()
    pair.trying.clear()
    if not pair.first.redis.process:
        pair.first.redis.start()
    for host in pair.both:
        host.wait_ready()


def ask(host: Gateway, key: str, body: dict[str, Any] = FAST) -> Reply:
    with host.wire(key, 120) as wire:
        return wire.ask(wire.chat(body))


class Open:
    """Calls that the upstream holds open, each on a connection of its own; those that were refused are over."""

    def __init__(self, key: str, hosts: tuple[Gateway, ...], count: int) -> None:
        self.replies: list[Reply] = []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(hosts[number % len(hosts)], key))
                        for number in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, host: Gateway, key: str) -> None:
        reply = ask(host, key, HELD)
        with self.lock:
            self.replies.append(reply)

    def counts(self) -> Counter[int]:
        with self.lock:
            return Counter(reply.status for reply in self.replies)

    def end(self) -> Counter[int]:
        for thread in self.threads:
            thread.join()
        return self.counts()


def has_answer(wire: Wire) -> bool:
    """Looks without waiting whether some of the answer is there."""
    wire.socket.setblocking(False)
    try:
        wire.left += wire.receive()
    except ssl.SSLWantReadError:
        pass
    finally:
        wire.socket.settimeout(120)
    return wire.left != b""


def test_credit_for_fifty_calls_admits_fifty_of_a_thousand_through_two_gateways(pair: Pair) -> None:
    account, key = pair.first.new_account("5.00")
    lows: list[Decimal] = []
    before = len(pair.upstream.calls)
    with ExitStack() as stack:
        waiting = {stack.enter_context(pair.both[number % 2].wire(key, 120)) for number in range(1000)}
        for wire in waiting:
            wire.send(wire.chat(HELD))
        replies: list[Reply] = []

        def are_refused() -> bool:
            """All others are answered while the fifty are open."""
            done = {wire for wire in waiting if has_answer(wire)}
            replies.extend(wire.reply() for wire in done)
            waiting.difference_update(done)
            state = pair.first.account_state(account)
            lows.extend((Decimal(state["available"]), Decimal(state["balance"])))
            return len(replies) >= 950
        wait_until(are_refused, "950 of them are refused")
        assert pair.first.account_state(account)["open_calls"] == 50 == len(waiting)
        assert len(pair.upstream.calls) - before == 50
        pair.let_go()
        assert Counter(reply.status for reply in replies) == {402: 950}
        assert Counter(wire.reply().status for wire in waiting) == {200: 50}
    state = pair.first.settle_down(account)
    assert Decimal(state["balance"]) == 0 and min(lows) >= 0
    pair.second.ship()
    assert len(pair.first.events(account)) == 50


class Clocked:
    """What passed through both gateways as fast as it went, and in how long."""

    def __init__(self, pair: Pair, key: str, threads: int, each: int, body: dict[str, Any] = FAST) -> None:
        self.began = time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            runs = [pool.submit(self._run, pair.both[number % 2], key, each, body) for number in range(threads)]
            self.replies = [reply for run in runs for reply in run.result()]
        self.seconds = time.monotonic() - self.began
        self.passed = [reply for reply in self.replies if reply.status == 200]
        self.refused = [reply for reply in self.replies if reply.status == 429]
        assert len(self.passed) + len(self.refused) == len(self.replies), self.replies

    @staticmethod
    def _run(host: Gateway, key: str, each: int, body: dict[str, Any]) -> list[Reply]:
        with host.wire(key) as wire:
            return [wire.ask(wire.chat(body)) for _ in range(each)]


def check_refused(reply: Reply, code: str, kind: str, limit: int) -> None:
    """An error as OpenAI's, that says when to come again."""
    assert reply.status == 429 and reply.error["code"] == "rate_limit_exceeded" and reply.error["type"] == kind, reply
    assert reply.headers["x-tollgate-code"] == code and str(limit) in reply.error["message"], reply
    assert reply.headers[f"x-ratelimit-limit-{kind}"] == str(limit)
    assert 0 < int(reply.headers["retry-after-ms"]) <= 1000 * int(reply.headers["retry-after"])
    assert reply.headers["x-should-retry"] == "true"


@pytest.mark.parametrize("of_key", [False, True], ids=["account", "key"])
def test_requests_pass_no_faster_than_their_rate_through_two_gateways(pair: Pair, of_key: bool) -> None:
    rpm = 90
    account, key = pair.first.new_account("1000")
    words = ["key", "limit", key.split("-")[2]] if of_key else ["account", "limit", account]
    shown = pair.first.cli_one(*words, "--rpm", str(rpm))
    assert shown["rpm"] == rpm and shown["tpm"] == 0
    clocked = Clocked(pair, key, 8, 30)
    assert rpm <= len(clocked.passed) <= rpm + clocked.seconds * rpm / 60
    for reply in clocked.refused:
        check_refused(reply, "policy_request_rate", "requests", rpm)
        assert ("key" if of_key else "account") in reply.error["message"]
        assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    for reply in clocked.passed:
        assert reply.headers["x-ratelimit-limit-requests"] == str(rpm)
        assert int(reply.headers["x-ratelimit-remaining-requests"]) < rpm
        assert reply.headers["x-ratelimit-reset-requests"].endswith("s")
    pair.first.settle_down(account)


def test_what_retry_after_says_is_true(pair: Pair) -> None:
    account, key = pair.first.new_account("1000", "--prepaid", "--rpm", "20")
    with pair.first.wire(key) as wire:
        while (reply := wire.ask(wire.chat(FAST))).status == 200:
            pass
        time.sleep(int(reply.headers["retry-after-ms"]) / 1000)
        assert wire.ask(wire.chat(FAST)).status == 200


@pytest.mark.parametrize("uses_all", [False, True], ids=["gives-back", "uses-all"])
@pytest.mark.parametrize("of_key", [False, True], ids=["account", "key"])
def test_tokens_pass_no_faster_than_their_rate_through_two_gateways(pair: Pair, of_key: bool, uses_all: bool) -> None:
    """Nor slower: what a call books at most, its body and its cap, fits so often into what may be taken at once."""
    tpm = 1200
    body = {**FAST, **({"model": "demo/held"} if uses_all else {})}
    size = len(json.dumps(body))
    booked = size + CAP
    used = booked if uses_all else USED
    pair.usage = (size, CAP)
    pair.let_go()
    account, key = pair.first.new_account("1000")
    words = ["key", "limit", key.split("-")[2]] if of_key else ["account", "limit", account]
    shown = pair.first.cli_one(*words, "--tpm", str(tpm))
    assert shown["tpm"] == tpm and shown["rpm"] == 0
    clocked = Clocked(pair, key, 8, 40, body)
    assert tpm // booked <= len(clocked.passed)
    assert used * len(clocked.passed) <= tpm + clocked.seconds * tpm / 60
    for reply in clocked.refused:
        check_refused(reply, "policy_token_rate", "tokens", tpm)
        assert ("key" if of_key else "account") in reply.error["message"]
    for reply in clocked.passed:
        assert reply.headers["x-ratelimit-limit-tokens"] == str(tpm)
        assert int(reply.headers["x-ratelimit-remaining-tokens"]) < tpm
    pair.first.settle_down(account)
    assert sum(sum(event["units"].values()) for event in pair.first.events(account)) == (used + 1) * len(clocked.passed)


def test_tokens_that_a_call_reserved_and_did_not_use_are_given_back(pair: Pair) -> None:
    """Each of them reserves its body and its cap, above a hundred tokens: ten fit, and two minutes would pass until all do."""
    account, key = pair.first.new_account("1000", "--prepaid", "--tpm", "1200")
    for number in range(36):
        assert ask(pair.both[number % 2], key).status == 200, number
        pair.first.settle_down(account)


def test_a_call_that_could_never_fit_is_refused_for_good(pair: Pair) -> None:
    _, key = pair.first.new_account("1000", "--prepaid", "--tpm", "50")
    reply = ask(pair.second, key)
    assert reply.status == 429 and reply.headers["x-tollgate-code"] == "policy_call_too_large", reply
    assert reply.headers["x-should-retry"] == "false" and "retry-after" not in reply.headers
    assert "50" in reply.error["message"] and "max_completion_tokens" in reply.error["message"]


def test_limits_are_shown_and_changed_one_by_one(pair: Pair) -> None:
    gateway = pair.first
    account, _ = gateway.new_account(None, "--postpaid", "--credit-limit", "5", "--rpm", "7", "--tpm", "70")
    gateway.cli("account", "limit", account, "--concurrency", "3", "--rpm", "0")
    state = gateway.account_state(account)
    assert [state[name] for name in ("rpm", "tpm", "concurrency", "credit_limit")] == [0, 70, 3, "5"]
    gateway.cli("account", "limit", account, "--credit-limit", "6.5")
    state = pair.second.account_state(account)
    assert [state[name] for name in ("rpm", "tpm", "concurrency", "credit_limit")] == [0, 70, 3, "6.5"]
    made = gateway.cli_one("key", "create", account, "--tpm", "9")
    assert gateway.get("/v1/balance", made["secret"])["limits"] == {"concurrency": 3, "rpm": None, "tpm": 70}
    gateway.cli("key", "limit", made["public_id"], "--rpm", "8")
    (listed,) = [key for key in gateway.cli("key", "list") if key["public_id"] == made["public_id"]]
    assert (listed["rpm"], listed["tpm"]) == (8, 9)
    gateway.cli("key", "revoke", made["public_id"])
    assert "revoked" in gateway.refused("key", "limit", made["public_id"], "--rpm", "1")
    assert "needs a limit" in gateway.refused("account", "limit", account, code=2)
    assert "--rpm must be a whole number from 0" in gateway.refused("account", "limit", account, "--rpm", "-1", code=2)
    assert "prepaid" in gateway.refused("account", "limit", "demo", "--credit-limit", "1")
    assert "no account" in gateway.refused("account", "limit", "nobody", "--rpm", "1")
    assert "creator" in gateway.refused("key", "create", "demo", "--creator", "--rpm", "1")


@pytest.mark.timeout(900)
def test_slots_come_back_after_workers_are_killed_with_calls_open(pair: Pair) -> None:
    """A call of which only the hold was there when its worker was killed gives its slot back after the sweeper's second look."""
    account, key = pair.first.new_account("1000", "--prepaid", "--concurrency", "6")
    for _ in range(2):
        pair.hold()
        held = Open(key, pair.both, 6)
        wait_until(lambda: pair.first.account_state(account)["open_calls"] == 6, "they are open")
        refused = [ask(host, key) for host in pair.both]
        assert all(reply.status == 429 and reply.headers["x-tollgate-code"] == "policy_concurrency" for reply in refused)
        for host in pair.both:
            for worker in host.workers():
                os.kill(worker, signal.SIGKILL)
        assert held.end() == {0: 6}
        pair.let_go()
        for host in pair.both:
            host.wait_ready()
        pair.first.settle_down(account, timeout=300)
    pair.hold()
    held = Open(key, pair.both, 6)
    wait_until(lambda: pair.first.account_state(account)["open_calls"] == 6, "all six slots are there again")
    pair.let_go()
    assert held.end() == {200: 6}
    pair.first.settle_down(account)


def test_slots_of_a_host_that_is_gone_for_good_come_back(served: Served, second: Served, upstream: Upstream) -> None:
    """Nobody renews its holds, nobody has its journal: two looks of the other host's sweeper, a minute apart, free them."""
    may_answer = threading.Event()

    def respond(call: Call) -> None:
        may_answer.wait(300)
        call.complete("done", usage=(2, 1))
    upstream.respond = respond
    served.backends = {"held": {"kind": "openai", "url": upstream.url, "breaker_failures": 0}}
    served.start().set_up("1", [{"id": "demo/held", "price": "dime", "backends": [{"name": "held"}]}], PRICES)
    second.join(served).serve().wait_ready()
    account, key = served.new_account("10", "--prepaid", "--concurrency", "3")
    lost = Open(key, (second,), 3)
    wait_until(lambda: len(upstream.calls) == 3, "they are open")
    assert second.process
    second.process.kill_all()
    second.process = None
    shutil.rmtree(second.state / "journal")
    assert lost.end() == {0: 3}
    assert ask(served, key, HELD).headers["x-tollgate-code"] == "policy_concurrency"
    state = wait_until(lambda: (state := served.account_state(account))["open_calls"] == 0 and state, "they are swept", 200)
    assert Decimal(state["available"]) == Decimal(state["balance"]) == 10
    may_answer.set()
    for _ in range(4):
        assert ask(served, key, HELD).status == 200
        served.settle_down(account)


# --- Redis back without its end


@pytest.fixture
def remembered(pair: Pair) -> None:
    """What Redis will not lose: it knows both hosts' writers, and nothing of what the test does."""
    pair.first.redis.rewrite()


def lose_what_is_not_remembered(pair: Pair) -> None:
    pair.first.redis.kill()
    assert pair.first.redis.cut_tail(10 ** 9) > 0
    pair.first.redis.start()


def passed_of(pair: Pair, key: str, hosts: tuple[Gateway, ...], count: int) -> int:
    """So many more are tried, all at once and held open; how many were let through."""
    before = len(pair.upstream.calls)
    tried = Open(key, hosts, count)
    wait_until(lambda: len(pair.upstream.calls) - before + tried.counts().total() == count, "all have their answer")
    assert set(tried.counts()) <= {402}, tried.replies
    pair.trying.append(tried)
    return len(pair.upstream.calls) - before


@pytest.mark.usefixtures("remembered")
def test_redis_that_lost_its_end_admits_nothing_more_when_all_writers_come_back(pair: Pair) -> None:
    account, key = pair.first.new_account("2.00")
    assert passed_of(pair, key, pair.both, 30) == 20
    lose_what_is_not_remembered(pair)
    for host in pair.both:
        host.wait_ready()
    assert passed_of(pair, key, pair.both, 30) == 0, "all holds were put before anything was admitted"
    pair.end_trying()
    state = pair.first.settle_down(account)
    assert Decimal(state["balance"]) == 0 and len(pair.first.events(account)) == 20


@pytest.mark.usefixtures("remembered")
def test_overshoot_after_a_failover_is_what_a_writer_that_was_cut_off_had_open(pair: Pair) -> None:
    """2.00 of credit, all of it held: by one host, and by one that is stopped for longer than it is waited for. What that one
    holds may be admitted once more; when it comes back it counts, and nothing is lost."""
    account, key = pair.first.new_account("2.00")
    here = passed_of(pair, key, (pair.first,), 8)
    cut_off = passed_of(pair, key, (pair.second,), 20)
    assert (here, cut_off) == (8, 12)
    bound = cut_off * DIME
    assert pair.second.process
    stopped = pair.second.process.family()
    for process in stopped:
        os.kill(process, signal.SIGSTOP)
    try:
        lose_what_is_not_remembered(pair)
        pair.first.wait_ready()
        more = passed_of(pair, key, (pair.first,), 30)
    finally:
        for process in stopped:
            os.kill(process, signal.SIGCONT)
    assert more * DIME <= bound
    assert more == 12, "what is not known to be held is free"
    pair.second.wait_ready()
    wait_until(lambda: pair.first.account_state(account)["open_calls"] == 20 + more, "its holds are back")
    assert Decimal(pair.first.account_state(account)["available"]) == -bound
    assert passed_of(pair, key, pair.both, 4) == 0
    pair.end_trying()
    for host in pair.both:
        host.ship()
    state = pair.first.settle_down(account)
    assert Decimal(state["balance"]) == -bound and len(pair.first.events(account)) == 20 + more


# --- Redis away: of one worker in test_redis_away.py


def test_what_is_spent_without_redis_is_at_most_the_allowance_times_all_workers(pair: Pair) -> None:
    account, key = pair.first.new_account(None, *OWING)
    with ThreadPoolExecutor(8) as pool:       # so many that every worker has most likely read its terms
        first = Counter(reply.status for reply in pool.map(lambda n: ask(pair.both[n % 2], key), range(60)))
    assert first == {200: 60}
    pair.first.redis.kill()
    with ThreadPoolExecutor(8) as pool:
        passed = Counter(reply.status for reply in pool.map(lambda n: ask(pair.both[n % 2], key), range(120)))
    workers = sum(len(host.workers()) for host in pair.both)
    assert set(passed) == {200, 503} and passed[200] * DIME <= ALLOWANCE * workers
    assert passed[200] * DIME >= ALLOWANCE, "one worker's at least"
    pair.first.redis.start()
    for host in pair.both:
        host.wait_ready()
        host.ship()
    state = pair.first.settle_down(account)
    assert Decimal(state["balance"]) == -DIME * (60 + passed[200])
    assert len(pair.first.events(account)) == 60 + passed[200]
