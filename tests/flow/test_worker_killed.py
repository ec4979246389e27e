"""Processes are killed with SIGKILL while they work: nothing that a client saw is lost, nothing is counted twice."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

import money
from load import pages
from tollgate import DEMO_PRICE, Served, wait_until
from wire import Reply, content_chunks

DELAY = 0.1


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served]) -> Iterator[Served]:
    own = serve_for_module("killed")
    own.backends = {"slow": {"kind": "echo", "delay": f"{int(DELAY * 1000)} ms"}, "fast": {"kind": "echo"}}
    models = [{"id": f"demo/{name}", "backends": [{"name": name}]} for name in ("slow", "fast")]
    yield own.start().set_up("100", models)


@pytest.fixture(scope="module")
def often_killed() -> list[str]:
    """Accounts whose calls were cut at any moment, also between hold and BEGIN."""
    return []


def stream(gateway: Served, key: str, words: int) -> Reply:
    """A stream of so many words, as far as it comes."""
    body = {"model": "demo/slow", "stream": True,
            "messages": [{"role": "user", "content": " ".join(f"w{number}" for number in range(words))}]}
    with gateway.wire(key) as wire:
        return wire.ask(wire.chat(body))


def wait_for_workers(gateway: Served, killed: list[int]) -> None:
    wait_until(lambda: len(gateway.workers()) == 2 and not set(killed) & set(gateway.workers()),
               "killed workers are started again")
    gateway.wait_ready()


def test_whoever_saw_the_end_of_an_answer_was_billed_however_often_workers_die(
        gateway: Served, often_killed: list[str]) -> None:
    account, key = gateway.new_account("10")
    often_killed.append(account)
    answered: set[str] = set()
    is_over = threading.Event()

    def call_again_and_again(number: int) -> None:
        body = {"model": "demo/fast", "stream": number % 2 == 0, "messages": [{"role": "user", "content": "a b c"}]}
        while not is_over.is_set():
            try:
                with gateway.wire(key) as wire:
                    for _ in range(50):
                        reply = wire.ask(wire.chat(body))
                        if reply.status == 200 and reply.is_whole:
                            answered.add(reply.headers["x-request-id"])
                        elif reply.status == 0 or is_over.is_set():
                            break
            except OSError:
                time.sleep(0.05)

    threads = [threading.Thread(target=call_again_and_again, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    killed: list[int] = []
    try:
        for turn in range(4):
            before = len(answered)
            wait_until(lambda before=before: len(answered) >= before + 30, "calls are answered")
            victim = gateway.workers()[turn % 2]
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)
            wait_for_workers(gateway, killed)
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    gateway.ship()
    billed = {event["request_id"]: event for event in pages(gateway, key)}
    for request_id in answered:
        event = billed[request_id]
        assert event["outcome"] == "complete" and event["units"] == {"input_tokens": 3, "output_tokens": 3}
    one = money.rate(DEMO_PRICE, {"input_tokens": 3, "output_tokens": 3})
    spent = 10 - gateway.balance(account)
    assert spent % one == 0 and spent >= one * len(answered)
    assert spent <= one * (len(answered) + 6 * len(killed) + 6), "more was billed than calls can have been cut"


@pytest.mark.parametrize("ended", [0, 3, 10])
@pytest.mark.parametrize("both", [False, True], ids=["one worker", "both workers"])
def test_a_worker_killed_in_twenty_streams_bills_no_more_than_was_handed_out(
        gateway: Served, ended: int, both: bool) -> None:
    account, key = gateway.new_account("10")
    lengths = [8 + 3 * number for number in range(20)]      # the shortest may have ended when the worker dies
    with ThreadPoolExecutor(20) as pool:
        running = [pool.submit(stream, gateway, key, words) for words in lengths]
        wait_until(lambda: gateway.account_state(account)["open_calls"] >= 8, "the streams run")
        wait_until(lambda: sum(run.done() for run in running) >= ended, "the shortest have ended")
        killed = gateway.workers()[:2 if both else 1]
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        replies = [run.result() for run in running]
    wait_for_workers(gateway, killed)
    gateway.settle_down(account)

    events = {event["request_id"]: event for event in gateway.events(account)}
    broken = 0
    for words, reply in zip(lengths, replies):
        if reply.status != 200:                             # its connection had not been served at all
            continue
        event, received = events.pop(reply.headers["x-request-id"]), content_chunks(reply.events())
        assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))
        if reply.is_whole:
            assert reply.events()[-1] == "[DONE]" and received == words
            assert event["outcome"] == "complete"
            assert event["units"] == {"input_tokens": words, "output_tokens": words}
            continue
        broken += 1
        assert "[DONE]" not in reply.events()
        if event["outcome"] == "complete":                  # durable, but its last bytes had not left
            assert received <= event["units"]["output_tokens"] == words
        else:
            assert event["outcome"] in ("killed", "void"), event
            assert event["units"].get("output_tokens", 0) <= received, (event, received)
            if event["outcome"] == "void":
                assert event["amount"] == "0"
    assert broken, "no stream was cut, so nothing was shown"
    assert not [event for event in events.values() if Decimal(event["amount"])], "paid calls that nobody was answered"
    everything = gateway.events(account)
    assert gateway.balance(account) == 10 - money.total(everything)


def test_a_killed_worker_leaves_something_to_bill_of_a_long_stream(gateway: Served) -> None:
    """PROGRESS is written every second, so a stream of some seconds is not free."""
    account, key = gateway.new_account("10")
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(stream, gateway, key, 300) for _ in range(4)]
        wait_until(lambda: gateway.account_state(account)["open_calls"] == 4, "they run")
        time.sleep(6)
        killed = gateway.workers()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        replies = [run.result() for run in running]
    wait_for_workers(gateway, killed)
    gateway.settle_down(account)
    events = {event["request_id"]: event for event in gateway.events(account)}
    for reply in replies:
        event, received = events[reply.headers["x-request-id"]], content_chunks(reply.events())
        assert event["outcome"] == "killed"
        assert received - 5 / DELAY <= event["units"]["output_tokens"] <= received, (event, received)


def test_a_hold_without_a_begin_is_swept_in_the_end(gateway: Served, often_killed: list[str]) -> None:
    """The sweeper's two looks are 60 s apart, by one console; the tests before have used up some of that."""
    for account in often_killed:
        gateway.settle_down(account, 240)


def test_a_killed_console_comes_back_and_calls_do_not_notice(gateway: Served) -> None:
    account, key = gateway.new_account("1")
    (console,) = gateway.children("console")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream, gateway, key, 10)
        os.kill(console, signal.SIGKILL)
        assert running.result().is_whole
    wait_until(lambda: gateway.children("console") not in ([], [console]), "the console is started again")
    assert gateway.settle_down(account)["balance"] == money.spelled(
        1 - money.rate(DEMO_PRICE, {"input_tokens": 10, "output_tokens": 10}))
