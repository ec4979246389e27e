"""Redis is only a projection: it is killed, cut, emptied and stopped, and nothing metered is lost or counted twice."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import money
import tollgate
from load import FAST, Load, check_billed, check_refused
from redis_dump import canonical_dump, differences
from tollgate import DEMO_PRICE, Dev, Served, wait_until
from upstream import Upstream
from wire import Reply

SLOW = {"model": "demo/slow", "stream": True, "messages": [{"role": "user", "content": "w " * 40}]}


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served]) -> Iterator[Served]:
    own = serve_for_module("redis")
    with Upstream() as upstream:
        own.upstream = upstream                                            # type: ignore[attr-defined]
        own.backends = {"slow": {"kind": "echo", "delay": "100 ms"}, "fast": {"kind": "echo"},
                        "held": {"kind": "openai", "url": upstream.url}}
        own.options = {"redis_timeout": "3 s", "recovering_wait": "3 s"}
        yield own.start().set_up("100", [{"id": f"demo/{name}", "backends": [{"name": name}]} for name in own.backends])


@pytest.fixture(autouse=True)
def wait_until_it_is_well(gateway: Served) -> Iterator[None]:
    yield
    if not gateway.redis.process:
        gateway.redis.start()
    gateway.wait_ready()


@pytest.mark.parametrize("lost", [1, 700, 20000, 10 ** 9], ids=["one byte", "a tail", "a long tail", "everything"])
def test_redis_that_was_killed_and_lost_its_tail_gets_everything_back(gateway: Served, lost: int) -> None:
    account, key = gateway.new_account("10")
    with Load(gateway, key) as load:
        load.wait_for_more(100)
        gateway.redis.kill()
        gateway.redis.cut_tail(lost)
        wait_until(lambda: len(load.refused) >= 4, "calls are refused meanwhile")
        gateway.redis.start()
        load.wait_for_more(100)
    check_refused(load.refused)
    check_billed(gateway, account, key, load.answered)


def test_redis_that_is_killed_again_and_again_gets_everything_back(gateway: Served) -> None:
    account, key = gateway.new_account("10")
    with Load(gateway, key) as load:
        for turn in range(3):
            load.wait_for_more(40)
            gateway.redis.kill()
            gateway.redis.cut_tail(50 + 333 * turn)
            gateway.redis.start()
            # Killed once more in the middle of the rewrite that follows, Redis 7.0 would refuse its own file.
            wait_until(gateway.redis.has_rewritten, "the file was rewritten")
            time.sleep(0.1 * turn)
            gateway.redis.kill()
            gateway.redis.start()
        load.wait_for_more(40)
    check_refused(load.refused)
    check_billed(gateway, account, key, load.answered)


def test_redis_that_was_emptied_gets_everything_back(gateway: Served) -> None:
    account, key = gateway.new_account("10")
    with gateway.wire(key) as wire:
        answered = {wire.ask(wire.chat(FAST)).headers["x-request-id"] for _ in range(20)}
    gateway.settle_down(account)
    gateway.redis.kill()
    gateway.redis.cut_tail(10 ** 9)
    for part in (gateway.redis.folder / "appendonlydir").iterdir():
        part.unlink()
    gateway.redis.start()
    gateway.wait_ready()
    check_billed(gateway, account, key, answered)
    assert gateway.account_state("demo")["balance"] == "100"


def test_a_rebuild_changes_nothing(gateway: Served) -> None:
    account, key = gateway.new_account("10")
    with gateway.wire(key) as wire:
        answered = {wire.ask(wire.chat(FAST)).headers["x-request-id"] for _ in range(20)}
    gateway.settle_down(account)
    before, earned = gateway.cli("account", "list"), gateway.cli_one("creator", "show", "demo")
    gateway.cli("journal", "rebuild")
    gateway.wait_ready()
    assert sorted(map(str, gateway.cli("account", "list"))) == sorted(map(str, before))
    assert gateway.cli_one("creator", "show", "demo") == earned
    check_billed(gateway, account, key, answered)


def test_a_stream_in_flight_when_redis_dies_finishes_and_is_billed(gateway: Served) -> None:
    account, key = gateway.new_account("10")

    def stream() -> Reply:
        with gateway.wire(key) as wire:
            return wire.ask(wire.chat(SLOW))

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(stream) for _ in range(6)]
        wait_until(lambda: gateway.account_state(account)["open_calls"] == 6, "they run")
        gateway.redis.kill()
        with gateway.wire(key) as wire:
            check_refused([wire.ask(wire.chat(FAST)) for _ in range(3)])
        replies = [run.result() for run in running]
    assert all(reply.status == 200 and reply.is_whole and reply.events()[-1] == "[DONE]" for reply in replies)
    gateway.redis.start()
    gateway.wait_ready()
    check_billed(gateway, account, key, {reply.headers["x-request-id"] for reply in replies})
    assert gateway.balance(account) == 10 - 6 * money.rate(DEMO_PRICE, {"input_tokens": 40, "output_tokens": 40})


def test_a_hold_is_put_again_after_redis_lost_it(gateway: Served) -> None:
    """Otherwise credit and concurrency could be overrun by restarting Redis."""
    account, key = gateway.new_account("10", "--prepaid", "--concurrency", "1")
    is_over = threading.Event()
    gateway.upstream.respond = lambda call: (is_over.wait(), call.complete("at last"))     # type: ignore[attr-defined]
    with gateway.wire(key) as wire, gateway.wire(key) as second:
        wire.send(wire.chat({**FAST, "model": "demo/held"}))
        wait_until(lambda: gateway.account_state(account)["open_calls"] == 1, "it runs")
        gateway.redis.kill()
        gateway.redis.cut_tail(10 ** 9)
        gateway.redis.start()
        gateway.wait_ready()
        assert gateway.account_state(account)["open_calls"] == 1
        assert second.ask(second.chat(FAST)).status == 429
        is_over.set()
        assert wire.reply().status == 200
    gateway.settle_down(account)


def test_redis_that_hangs_refuses_calls_in_time_and_nothing_is_counted_twice(gateway: Served) -> None:
    account, key = gateway.new_account("10")
    assert gateway.redis.process
    with Load(gateway, key) as load:
        load.wait_for_more(30)
        os.kill(gateway.redis.process.pid, signal.SIGSTOP)
        try:
            wait_until(lambda: len(load.refused) >= 4, "calls are refused meanwhile")
        finally:
            os.kill(gateway.redis.process.pid, signal.SIGCONT)
        load.wait_for_more(30)
    check_refused(load.refused)
    check_billed(gateway, account, key, load.answered)


def test_a_gateway_that_starts_without_redis_refuses_calls_until_it_comes(gateway: Served) -> None:
    account, key = gateway.new_account("10")
    gateway.stop_serving()
    gateway.redis.kill()
    gateway.serve()
    assert gateway.try_get("/healthz")[0] == 200
    status, body = gateway.try_get("/readyz")
    assert status == 503 and "Redis" in body["reason"]
    with gateway.wire(key) as wire:
        check_refused([wire.ask(wire.chat({**FAST, "stream": stream})) for stream in (False, True)])
    gateway.redis.start()
    gateway.wait_ready()
    with gateway.wire(key) as wire:
        reply = wire.ask(wire.chat(FAST))
    assert reply.status == 200
    check_billed(gateway, account, key, {reply.headers["x-request-id"]})


def test_a_catalogue_that_cannot_be_read_yet_is_no_empty_one(gateway: Served) -> None:
    """A gateway starts while Redis answers about keys and not about the catalogue, as when its server of a Cluster is away."""
    _, key = gateway.new_account("10")
    gateway.stop_serving()
    gateway.redis.command("RENAME", "tg:{m00}:catalogue", "tg:{m00}:aside")
    gateway.redis.command("SET", "tg:{m00}:catalogue", "not to be read")
    gateway.serve()
    try:
        wait_until(lambda: gateway.try_get("/v1/balance", key)[0] == 200, "keys can be read")
        workers = gateway.workers()
        for path in ("/v1/models", "/v1/models/demo/fast"):
            status, body = gateway.try_get(path, key)
            assert (status, body["error"]["code"]) == (503, "service_unavailable"), path
        with gateway.wire(key) as wire:
            assert wire.ask(wire.post("/v1/messages/count_tokens", {"model": "demo/fast", "messages": []})).status == 503
            check_refused([wire.ask(wire.chat(FAST))])
        assert gateway.workers() == workers, "none has died"
    finally:
        gateway.redis.command("RENAME", "tg:{m00}:aside", "tg:{m00}:catalogue")
    gateway.wait_ready()
    assert {model["id"] for model in gateway.get("/v1/models", key)["data"]} == {f"demo/{name}" for name in gateway.backends}


@pytest.mark.parametrize("words,says", [
    (["account", "credit", "demo", "1"], "written"), (["settle", "status"], "away"), (["settle", "close", "2026-01"], "away"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_a_command_says_soon_that_redis_is_away(gateway: Served, words: list[str], says: str) -> None:
    began = time.monotonic()
    gateway.cli("account", "show", "demo")
    usual = time.monotonic() - began                # on this machine, as busy as it is
    gateway.redis.kill()
    began = time.monotonic()
    done = tollgate.run(*words, config=gateway.config)
    assert time.monotonic() - began < 40 + 20 * usual, "it is no sooner than what it waits for otherwise"
    assert says in done.stderr, done
    assert done.returncode == (0 if "it will be applied" in done.stderr else 1), done


def test_redis_of_another_installation_is_refused(gateway: Served, served: Served) -> None:
    """Pointed at data that is not its own, the gateway touches nothing. The owner has to be back from the test before."""
    gateway.wait_ready()
    gateway.ship()
    before = canonical_dump(gateway.redis)
    served.options = {"redis": f"unix:{gateway.redis.socket}"}
    served.write_config()
    served.serve()
    wait_until(lambda: "installation" in served.log_text(), "the log says whose data that is")
    assert served.try_get("/readyz")[0] == 503
    assert not differences(before, canonical_dump(gateway.redis))
    strangers = [json.loads(path.read_text())["writer"] for path in (served.state / "journal").glob("[0-9]*/writer")]
    live = gateway.redis.command("HKEYS", "tg:{a00}:live").split()
    assert live and strangers and not set(live) & set(strangers)
    gateway.wait_ready()


def test_dev_starts_its_redis_again(dev: Dev) -> None:
    dev.start()
    with dev.wire() as wire:
        assert wire.ask(wire.chat({**FAST, "model": "demo/echo"})).status == 200
    (redis,) = dev.children("redis")
    os.kill(redis, signal.SIGKILL)
    wait_until(lambda: dev.children("redis") not in ([], [redis]), "it is started again")
    dev.wait_ready()
    with dev.wire() as wire:
        assert wire.ask(wire.chat({**FAST, "model": "demo/echo"})).status == 200
    dev.settle_down()
    assert dev.balance() == 100 - money.total(dev.events()) and len(dev.events()) == 2

