"""Stopping, starting again, and dying: calls finish, data stays, no process is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator

import pytest

import money
import tollgate
from tollgate import STOP_SECONDS, Dev, Served, is_gone, wait_until
from upstream import Call, Upstream, chunk, usage_chunk
from wire import Reply

CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": "a b c"}]}
HELD = {"model": "demo/held", "stream": True, "messages": [{"role": "user", "content": "a b c"}]}


@pytest.fixture
def may_end(upstream: Upstream) -> Iterator[threading.Event]:
    """Streams give one word, and the rest when this is set."""
    event = threading.Event()

    def respond(call: Call) -> None:
        call.begin_stream()
        call.word("first ")
        event.wait()
        call.word("last")
        call.event(chunk(None, "stop"))
        call.event(usage_chunk((3, 2)))
        call.write("data: [DONE]\n\n")
        call.end_stream()
    upstream.respond = respond
    yield event
    event.set()


def set_up(served: Served, upstream: Upstream) -> None:
    served.backends = {"held": {"kind": "openai", "url": upstream.url}}
    served.start().set_up("100", [{"id": "demo/held", "backends": [{"name": "held"}]}])


class Stream(threading.Thread):
    """One that has begun when this is made."""

    def __init__(self, served: Served) -> None:
        super().__init__()
        self.served, self.reply = served, Reply()
        self.start()
        wait_until(lambda: b"first" in self.reply.body, "it has begun")

    def run(self) -> None:
        with self.served.wire() as wire:
            wire.send(wire.chat(HELD))
            for _ in wire.stream(self.reply):
                pass


def is_refused(served: Served) -> bool:
    """Nobody listens any more."""
    try:
        socket.create_connection(served.address, tollgate.PATIENCE).close()
    except ConnectionError as error:
        return isinstance(error, ConnectionRefusedError)        # and not one that is reset while the socket is closed
    return False


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_finishes_streams_in_flight_and_bills_them(served: Served, upstream: Upstream, may_end: threading.Event,
                                                                    sign: signal.Signals) -> None:
    set_up(served, upstream)
    streams = [Stream(served) for _ in range(5)]
    process, served.process = served.process, None
    assert process
    os.kill(process.pid, sign)
    wait_until(lambda: is_refused(served), "it takes no more calls")
    may_end.set()
    assert process.popen.wait(tollgate.STOP_SECONDS) == 0 == process.stop()
    for stream in streams:
        stream.join()
    replies = [stream.reply for stream in streams]
    assert all(reply.is_whole and reply.events()[-1] == "[DONE]" for reply in replies)
    served.serve()
    served.wait_ready()
    served.settle_down()
    events = served.events("demo")
    assert {event["request_id"] for event in events} == {reply.headers["x-request-id"] for reply in replies}
    assert {event["outcome"] for event in events} == {"complete"}
    assert served.balance() == 100 - money.total(events)


def test_who_stops_has_shipped_what_ended_before(served: Served, upstream: Upstream, may_end: threading.Event) -> None:
    """Redis hangs as the call ends; its worker stays until Redis has the END, and nobody has to catch up with it."""
    served.options = {"redis_timeout": "1 min"}
    set_up(served, upstream)
    stream = Stream(served)
    workers = set(served.workers())
    served.redis.command("CLIENT", "PAUSE", "600000", "WRITE")
    may_end.set()
    stream.join()
    assert stream.reply.is_whole
    process, served.process = served.process, None
    assert process
    os.kill(process.pid, signal.SIGTERM)
    wait_until(lambda: any(is_gone(pid) for pid in workers), "who had no call has ended")
    served.redis.command("CLIENT", "UNPAUSE")
    assert process.popen.wait(tollgate.STOP_SECONDS) == 0 == process.stop()
    partition = f"tg:{{a{served.key.split('-')[2][:2]}}}"
    assert served.redis.command("HLEN", f"{partition}:holds:demo") == "0"
    assert served.redis.command("HEXISTS", f"{partition}:index:demo", stream.reply.headers["x-request-id"]) == "1"


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_asked_until_it_has_stopped_it_ends_in_good_order(served: Served, sign: signal.Signals) -> None:
    """Whoever asks again meets each of its last moments."""
    served.start()
    assert served.process
    popen, served.process = served.process.popen, None
    popen.send_signal(signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    while popen.poll() is None and time.monotonic() < until:
        popen.send_signal(sign)
        time.sleep(0.0005)
    assert popen.returncode == 0
    assert "everything has ended" in served.log_text()


@pytest.mark.usefixtures("may_end")
def test_a_stream_that_outlasts_the_drain_is_cut_and_billed(served: Served, upstream: Upstream) -> None:
    served.options = {"drain_timeout": "500 ms"}
    set_up(served, upstream)
    stream = Stream(served)
    served.stop_serving()
    stream.join()
    reply = stream.reply
    assert "[DONE]" not in reply.events() and reply.headers["x-request-id"]
    served.serve()
    served.wait_ready()
    served.settle_down()
    (event,) = served.events("demo")
    assert event["request_id"] == reply.headers["x-request-id"] and event["outcome"] != "complete"
    assert event["units"]["output_tokens"] == 1


def test_dev_started_again_continues_with_the_same_keys_and_data(dev: Dev) -> None:
    dev.start()
    first = dev.ready
    assert first["account"] == "demo" and first["creator"] == "demo" and "demo/echo" in first["models"]
    assert first["key"].startswith("sk-tg-") and first["creator_token"].startswith("ck-tg-")
    assert dev.balance() == 100
    account, key = dev.new_account("3")
    with dev.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    dev.settle_down()
    before, listed = dev.events(), dev.cli_one("creator", "show", "demo")
    dev.restart()
    for name in ("key", "creator_token", "operator_token", "finance_token", "account", "models", "config", "ca"):
        assert dev.ready[name] == first[name], name
    assert dev.events() == before and dev.cli_one("creator", "show", "demo") == listed
    with dev.wire(key) as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    assert dev.settle_down(account)["balance"] == money.spelled(3 - money.total(dev.events(account)))
    assert dev.balance() == 100 - money.total(before)


def test_dev_killed_leaves_no_process_and_loses_nothing(dev: Dev) -> None:
    dev.start()
    with dev.wire() as wire:
        replies = [wire.ask(wire.chat(CALL)) for _ in range(5)]
    assert dev.process
    family = dev.process.family()
    assert len(family) >= 5, "master, console, two workers and Redis"
    dev.kill()
    assert all(is_gone(pid) for pid in family)
    dev.start()
    dev.settle_down()
    assert {event["request_id"] for event in dev.events()} == {reply.headers["x-request-id"] for reply in replies}
    assert dev.balance() == 100 - money.total(dev.events())


def test_a_second_dev_on_the_same_state_is_refused_and_harms_nobody(dev: Dev) -> None:
    dev.start()
    done = subprocess.run([tollgate.BINARY, "dev", "--state", str(dev.state), "--listen", "127.0.0.1:0", "--console",
                           "127.0.0.1:0"], capture_output=True, text=True, timeout=tollgate.PATIENCE, check=False)
    assert done.returncode == 1 and done.stdout == "" and str(dev.pid) in done.stderr, done
    with dev.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200


def test_a_taken_port_is_refused_with_a_sentence(dev: Dev, gateway: Dev) -> None:
    done = tollgate.run("dev", "--state", str(dev.state), "--listen", "{}:{}".format(*gateway.address), "--console",
                        "127.0.0.1:0")
    assert done.returncode == 1 and done.stdout == "" and str(gateway.address[1]) in done.stderr, done


@pytest.mark.parametrize("child", ["console", "worker", "redis"])
def test_a_killed_child_of_dev_is_started_again(dev: Dev, child: str) -> None:
    dev.start()
    victims = dev.children(child)
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(dev.children(child)) == len(victims) and not set(victims) & set(dev.children(child)),
               f"{child} is started again")
    wait_until(lambda: tollgate.run("account", "show", "demo", config=dev.config).returncode == 0, "the console answers")
    dev.wait_ready()
    with dev.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    dev.settle_down()
    assert dev.balance() == 100 - money.total(dev.events())
