"""While Redis is away, postpaid accounts spend an allowance, and nobody else begins a call."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from test_limits import ALLOWANCE, HELD, OWING, PRICES, Open, ask
from tollgate import Served, wait_until
from upstream import Call, Upstream
from wire import Reply


@pytest.fixture(scope="module")
def lonely(serve_for_module: Callable[[str], Served]) -> Iterator[tuple[Served, Upstream]]:
    """One gateway with one worker, so that a test knows which one counts, and a Redis that it takes away."""
    with Upstream() as upstream:
        own = serve_for_module("lonely")
        own.options = {"workers": 1, "redis_timeout": "3 s", "recovering_wait": "3 s",
                       "offline_allowance": str(ALLOWANCE)}
        own.backends = {"held": {"kind": "openai", "url": upstream.url, "breaker_failures": 0}, "fast": {"kind": "echo"}}
        models = [{"id": f"demo/{name}", "price": "dime", "backends": [{"name": name}]} for name in ("held", "fast")]
        yield own.start().set_up("1", models, PRICES), upstream


@pytest.fixture
def redis_away(lonely: tuple[Served, Upstream]) -> Iterator[None]:
    """Whatever becomes of the test, Redis is back after it."""
    yield
    if not lonely[0].redis.process:
        lonely[0].redis.start()
    lonely[0].wait_ready()


def known(gateway: Served, *options: str) -> tuple[str, str]:
    """An account whose terms the worker has read."""
    account, key = gateway.new_account("100" if "--prepaid" in options else None, *options)
    learn(gateway, key)
    return account, key


def learn(gateway: Served, *keys: str) -> None:
    """The worker knows the keys and their accounts' terms. As it begins to read changes again it forgets what it knew, so it
    must have begun."""
    wait_until(lambda: gateway.redis.command("CLIENT", "LIST").count("cmd=xread ") == 2, "worker and console read changes")
    assert {ask(gateway, key).status for key in keys} == {200}


def check_away(reply: Reply) -> None:
    assert reply.status == 503 and reply.headers["x-tollgate-code"] == "gateway_unavailable", reply
    assert int(reply.headers["retry-after"]) >= 1 and reply.headers["x-should-retry"] == "true"


def ended_again(gateway: Served) -> Callable[[], bool]:
    """Whether one more outage was told to be over than now."""
    before = gateway.log_text().count("offline_ended")
    return lambda: gateway.log_text().count("offline_ended") > before


@pytest.mark.usefixtures("redis_away")
def test_while_redis_is_away_a_postpaid_account_spends_its_allowance_and_no_more(lonely: tuple[Served, Upstream]) -> None:
    gateway, _ = lonely
    owing, owing_key = known(gateway, *OWING)
    other, other_key = known(gateway, *OWING)
    for turn in range(2):          # the next outage begins with a whole allowance
        learn(gateway, owing_key, other_key)
        is_over = ended_again(gateway)
        gateway.redis.kill()
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: ask(gateway, owing_key), range(20)))
        assert Counter(reply.status for reply in replies) == {200: 5, 503: 15}, turn
        for reply in replies:
            if reply.status == 503:
                check_away(reply)
        assert ask(gateway, other_key).status == 200, "an allowance is the account's own"
        gateway.redis.start()
        gateway.wait_ready()
        wait_until(is_over, "the outage is over")
    for account, calls in ((owing, 1 + 2 * 6), (other, 1 + 2 * 2)):
        state = gateway.settle_down(account)
        assert len(gateway.events(account)) == calls
        assert Decimal(state["balance"]) == Decimal("-0.10") * calls and Decimal(state["held"]) == 0


@pytest.mark.usefixtures("redis_away")
def test_while_redis_is_away_nobody_else_may_go_on(lonely: tuple[Served, Upstream]) -> None:
    gateway, _ = lonely
    paid, paid_key = known(gateway, "--prepaid")
    unknown, unknown_key = gateway.new_account(None, *OWING)
    poor, poor_key = known(gateway, "--postpaid", "--credit-limit", "0.30")
    gateway.redis.kill()
    check_away(ask(gateway, paid_key))
    check_away(ask(gateway, unknown_key))
    assert [ask(gateway, poor_key).status for _ in range(3)] == [200, 200, 503], "its credit is the end too"
    gateway.redis.start()
    gateway.wait_ready()
    assert [len(gateway.events(account)) for account in (paid, unknown, poor)] == [1, 0, 3]
    assert Decimal(gateway.settle_down(poor)["available"]) == 0


@pytest.mark.usefixtures("redis_away")
def test_holds_of_calls_begun_while_redis_was_away_are_put_when_it_is_back(lonely: tuple[Served, Upstream]) -> None:
    gateway, upstream = lonely
    may_answer = threading.Event()

    def respond(call: Call) -> None:
        may_answer.wait(120)
        call.complete("done", usage=(2, 1))
    upstream.respond = respond
    account, key = known(gateway, *OWING, "--concurrency", "3")
    gateway.redis.kill()
    gateway.redis.cut_tail(10 ** 9)
    before = len(upstream.calls)
    held = Open(key, (gateway,), 4)
    wait_until(lambda: len(upstream.calls) == before + 4, "they run")
    is_over = ended_again(gateway)
    gateway.redis.start()
    gateway.wait_ready()
    state = wait_until(lambda: (state := gateway.account_state(account))["open_calls"] == 4 and state, "all holds are there")
    assert Decimal(state["held"]) == Decimal("0.40") and Decimal(state["balance"]) == Decimal("-0.10")
    assert ask(gateway, key).status == 429, "they count"
    may_answer.set()
    assert held.end() == {200: 4}
    wait_until(is_over, "the outage is over")
    state = gateway.settle_down(account)
    assert Decimal(state["balance"]) == Decimal("-0.50") and Decimal(state["available"]) == Decimal("99.50")


@pytest.mark.usefixtures("redis_away")
def test_a_call_that_began_and_failed_while_redis_was_away_gives_its_allowance_back(lonely: tuple[Served, Upstream]) -> None:
    gateway, upstream = lonely
    upstream.respond = lambda call: call.reply(500, {"error": {"message": "no"}})
    account, key = known(gateway, *OWING)
    gateway.redis.kill()
    assert [ask(gateway, key, HELD).status for _ in range(8)] == [502] * 8, "nothing is owed, so nothing is taken"
    assert [ask(gateway, key).status for _ in range(6)] == [200] * 5 + [503]
    gateway.redis.start()
    gateway.wait_ready()
    gateway.settle_down(account)
    assert gateway.balance(account) == Decimal("-0.60")


@pytest.mark.usefixtures("redis_away")
def test_a_redis_that_hangs_is_away_and_nothing_is_counted_twice(lonely: tuple[Served, Upstream]) -> None:
    gateway, _ = lonely
    account, key = known(gateway, *OWING)
    assert gateway.redis.process
    is_over = ended_again(gateway)
    os.kill(gateway.redis.process.pid, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(lambda _: ask(gateway, key), range(12)))
    finally:
        os.kill(gateway.redis.process.pid, signal.SIGCONT)
    assert Counter(reply.status for reply in replies) == {200: 5, 503: 7}
    gateway.wait_ready()
    wait_until(is_over, "the outage is over")
    state = gateway.settle_down(account)
    assert Decimal(state["balance"]) == Decimal("-0.60") and Decimal(state["available"]) == Decimal("99.40")
    assert len(gateway.events(account)) == 6


@pytest.mark.usefixtures("redis_away")
def test_a_worker_that_is_killed_while_redis_is_away_loses_nothing_and_gives_no_second_allowance(
        lonely: tuple[Served, Upstream]) -> None:
    gateway, _ = lonely
    account, key = known(gateway, *OWING)
    gateway.redis.kill()
    assert [ask(gateway, key).status for _ in range(3)] == [200] * 3
    (worker,) = gateway.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: gateway.workers() not in ([], [worker]), "another worker took its place")
    wait_until(gateway.is_alive, "it answers")
    check_away(ask(gateway, key))
    gateway.redis.start()
    gateway.wait_ready()
    state = gateway.settle_down(account)
    assert Decimal(state["balance"]) == Decimal("-0.40") and len(gateway.events(account)) == 4
    assert ask(gateway, key).status == 200
