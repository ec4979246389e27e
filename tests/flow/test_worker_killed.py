"""Processes are killed with SIGKILL while they work: nothing that a client saw is lost, nothing is counted twice."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import money
from load import pages
from tollgate import DEMO_PRICE, Served, holds_socket, sockets_between, wait_until
from upstream import Call, Upstream, chunk, usage_chunk
from wire import Reply, content_chunks

PROGRESS = re.compile(rb'"kind":"progress",.*?"request_id":"(req_[0-9a-f]+)".*?"units":(\{[^}]*\})', re.DOTALL)
is_over = threading.Event()     # of streams that have no end of their own


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        upstream.respond = say_words
        yield upstream


def say_words(call: Call) -> None:
    """As many as the message says; where it says none, until `is_over` is set."""
    asked = int(call.json["messages"][0]["content"])
    call.begin_stream()
    while call.sent_chunks < asked or (not asked and not is_over.is_set()):
        call.word("word ")
        time.sleep(0.02)
    call.event(chunk(None, "stop"))
    call.event(usage_chunk((1, call.sent_chunks)))
    call.write("data: [DONE]\n\n")
    call.end_stream()


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served], upstream: Upstream) -> Iterator[Served]:
    own = serve_for_module("killed")
    own.backends = {"said": {"kind": "openai", "url": upstream.url, "breaker_failures": 0}, "fast": {"kind": "echo"}}
    models = [{"id": f"demo/{name}", "backends": [{"name": name}]} for name in ("said", "fast")]
    yield own.start().set_up("100", models)
    is_over.set()


@pytest.fixture(scope="module")
def often_killed() -> list[str]:
    """Accounts whose calls were cut at any moment, also between hold and BEGIN."""
    return []


class Stream(threading.Thread):
    """A stream of so many words, or (0) without end, as far as it comes."""

    def __init__(self, gateway: Served, key: str, words: int) -> None:
        super().__init__()
        self.gateway, self.key, self.words = gateway, key, words
        self.reply = Reply()
        self.start()

    def run(self) -> None:
        with self.gateway.wire(self.key) as wire:
            wire.send(wire.chat({"model": "demo/said", "stream": True, "messages": [{"role": "user", "content": str(self.words)}]}))
            for _ in wire.stream(self.reply):
                pass

    def has_begun(self) -> bool:
        return b"word" in self.reply.body


def stream(gateway: Served, key: str, words: int) -> Reply:
    streaming = Stream(gateway, key, words)
    streaming.join()
    return streaming.reply


def servers_of(gateway: Served, upstream: Upstream) -> list[int]:
    """Workers that stream something from the model, those with most of it first."""
    sockets = [sockets_between(call.connection.getpeername()[1], upstream.port) for call in upstream.calls if is_open(call)]
    busy = {pid: sum(holds_socket(pid, inodes) for inodes in sockets) for pid in gateway.workers()}
    return sorted((pid for pid, streams in busy.items() if streams), key=lambda pid: -busy[pid])


def is_open(call: Call) -> bool:
    return call.connection.fileno() >= 0


def progress_of(gateway: Served, streams: list[Stream]) -> dict[str, int]:
    """By request id, the tokens that the journals say each had handed out by their last PROGRESS; 0 without one."""
    told = {stream.reply.headers["x-request-id"]: 0 for stream in streams}
    for segment in (gateway.state / "journal").glob("*/*.open"):
        for request_id, units in PROGRESS.findall(segment.read_bytes()):
            if request_id.decode() in told:
                told[request_id.decode()] = json.loads(units).get("output_tokens", 0)
    return told


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
        gateway: Served, upstream: Upstream, ended: int, both: bool) -> None:
    account, key = gateway.new_account("10")
    upstream.calls.clear()
    is_over.clear()
    streams = [Stream(gateway, key, 8 + 3 * number if number < ended else 0) for number in range(20)]
    wait_until(lambda: all(stream.has_begun() for stream in streams), "the streams run")
    for stream in streams[:ended]:
        stream.join()
    assert gateway.begun() >= {call.headers["x-request-id"] for call in upstream.calls}, "no model server hears of a call before"
    killed = servers_of(gateway, upstream)[:2 if both else 1]
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    wait_for_workers(gateway, killed)
    is_over.set()
    for stream in streams:
        stream.join()
    gateway.settle_down(account)

    everything = gateway.events(account)
    events = {event["request_id"]: event for event in everything}
    broken = 0
    for reply in (stream.reply for stream in streams):
        event, received = events.pop(reply.headers["x-request-id"]), content_chunks(reply.events())
        assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))
        if reply.is_whole:
            assert reply.events()[-1] == "[DONE]" and event["outcome"] == "complete"
            assert event["units"] == {"input_tokens": 1, "output_tokens": received}
            continue
        broken += 1
        assert "[DONE]" not in reply.events()
        assert event["outcome"] in ("killed", "void"), event
        assert event["units"].get("output_tokens", 0) <= received, (event, received)
        if event["outcome"] == "void":
            assert event["amount"] == "0"
    assert broken, "no stream was cut, so nothing was shown"
    assert not events, "nobody else has called"
    assert gateway.balance(account) == 10 - money.total(everything)


def test_a_killed_worker_leaves_something_to_bill_of_a_long_stream(gateway: Served, upstream: Upstream) -> None:
    """PROGRESS is written every second, so a stream of some seconds is not free: what it said last is billed."""
    account, key = gateway.new_account("10")
    upstream.calls.clear()
    is_over.clear()
    streams = [Stream(gateway, key, 0) for _ in range(4)]
    wait_until(lambda: all(stream.has_begun() for stream in streams), "they run")
    progress = wait_until(lambda: all((told := progress_of(gateway, streams)).values()) and told, "each has told how far it is")
    killed = gateway.workers()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    is_over.set()
    for stream in streams:
        stream.join()
    wait_for_workers(gateway, killed)
    gateway.settle_down(account)
    events = {event["request_id"]: event for event in gateway.events(account)}
    for reply in (stream.reply for stream in streams):
        event, received = events[reply.headers["x-request-id"]], content_chunks(reply.events())
        assert event["outcome"] == "killed"
        assert progress[event["request_id"]] <= event["units"]["output_tokens"] <= received, (event, received)


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
        1 - money.rate(DEMO_PRICE, {"input_tokens": 1, "output_tokens": 10}))
