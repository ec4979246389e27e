"""SIGHUP: a new config takes over while calls run, and no client notices; a bad one changes nothing."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import tollgate
from load import check_billed
from tollgate import Served, is_gone, wait_until
from upstream import Call, Upstream, chunk, usage_chunk
from wire import Reply, Wire

FAST = {"model": "demo/fast", "messages": [{"role": "user", "content": "a b c"}]}
HELD = {"model": "demo/held", "stream": True, "messages": [{"role": "user", "content": "a b c"}]}


@pytest.fixture
def release(upstream: Upstream) -> Iterator[threading.Event]:
    """Streams of demo/held give one word, and the rest when this is set."""
    event = threading.Event()

    def respond(call: Call) -> None:
        call.begin_stream()
        call.word("first ")
        event.wait(240)
        call.word("last")
        call.event(chunk(None, "stop"))
        call.event(usage_chunk((3, 2)))
        call.write("data: [DONE]\n\n")
        call.end_stream()
    upstream.respond = respond
    yield event
    event.set()


@pytest.fixture
def running(served: Served, upstream: Upstream, release: threading.Event) -> Served:
    served.backends = {"fast": {"kind": "echo"}, "held": {"kind": "openai", "url": upstream.url}}
    served.options = {"drain_timeout": "10 min"}
    return served.start().set_up("100", [{"id": f"demo/{name}", "backends": [{"name": name}]} for name in ("fast", "held")])


def logged(served: Served, event: str) -> int:
    return served.log_text().count(f'"event":"{event}"')


def reload(served: Served) -> None:
    """Asks for it, and waits until new workers serve; earlier ones may still accept what came to them."""
    before = logged(served, "reloaded")
    os.kill(served.pid, signal.SIGHUP)
    wait_until(lambda: logged(served, "reloaded") > before, "the new config is in force")


def test_how_a_reload_ends_is_told_whatever_is_logged(served: Served) -> None:
    served.options = {"log_level": "error"}
    served.start().set_up()
    served.reload()
    assert logged(served, "reloaded") == 1 and logged(served, "started") == 0


class Caller(threading.Thread):
    """Calls one after the other on a connection that is kept for as long as the server keeps it, as SDKs do."""

    def __init__(self, served: Served, stream: bool) -> None:
        super().__init__()
        self.served, self.stream = served, stream
        self.over = threading.Event()
        self.replies: list[Reply] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.over.is_set():
                with self.served.wire() as wire:
                    self._use(wire)
        except BaseException as failure:        # noqa: BLE001 - told by the test
            self.failure = failure

    def _use(self, wire: Wire) -> None:
        while not self.over.is_set():
            reply = wire.ask(wire.chat({**FAST, "stream": self.stream}))
            self.replies.append(reply)
            if reply.headers.get("connection") == "close" or not reply.is_whole:
                return


def test_calls_that_go_on_through_reloads_see_no_error_and_are_billed_once(running: Served) -> None:
    callers = [Caller(running, stream=number % 2 == 0) for number in range(6)]
    for caller in callers:
        caller.start()
    before = set(running.workers())
    for _ in range(3):
        served_by = set(running.workers())
        reload(running)
        done = [len(caller.replies) for caller in callers]
        wait_until(lambda done=done: all(len(caller.replies) > n for caller, n in zip(callers, done, strict=True)),
                   "every client is answered again")
        wait_until(lambda old=served_by: all(is_gone(pid) for pid in old), "the earlier workers have ended")
    for caller in callers:
        caller.over.set()
    for caller in callers:
        caller.join()
        assert caller.failure is None, caller.failure
    replies = [reply for caller in callers for reply in caller.replies]
    others = [reply for reply in replies if reply.status != 200 or not reply.is_whole]
    assert not others, others
    serving = running.workers()
    assert not before & set(serving) and len(serving) == 2, serving
    check_billed(running, "demo", running.key, {reply.headers["x-request-id"] for reply in replies}, 100)


def test_a_key_that_the_new_workers_have_not_read_waits_while_its_partition_recovers(running: Served) -> None:
    """As it does for a moment whenever somebody comes with records that Redis lacks. They know no key yet."""
    running.options["recovering_wait"] = "1 min"
    running.write_config()
    running.reload()
    public_id = running.key.split("-")[2]
    partition = f"tg:{{a{public_id[:2]}}}"
    run = running.redis.command("HGET", f"{partition}:state", "run_id")
    seen = running.state.parent / "asked"
    with seen.open("w") as out, subprocess.Popen(["redis-cli", "-s", str(running.redis.socket), "MONITOR"], stdout=out) as monitor:
        try:
            wait_until(lambda: "OK" in seen.read_text(), "it sees what is asked")
            assert running.redis.command("HDEL", f"{partition}:state", "run_id") == "1"
            with ThreadPoolExecutor(1) as pool:
                call = pool.submit(lambda: ask(running, FAST))
                wait_until(lambda: call.done() or seen.read_text().count(f'"{partition}:key:{public_id}"') > 1,
                           "the key was asked for again")
                running.redis.command("HSET", f"{partition}:state", "run_id", run)
                assert call.result().status == 200, call.result()
        finally:
            monitor.terminate()


def test_a_stream_in_flight_goes_on_while_others_serve(running: Served, release: threading.Event) -> None:
    old = running.workers()
    with ThreadPoolExecutor(3) as pool:
        streams = [pool.submit(lambda: ask(running, HELD)) for _ in range(3)]
        wait_until(lambda: running.account_state()["open_calls"] == 3, "they run")
        reload(running)
        assert ask(running, FAST).status == 200
        assert any(not is_gone(pid) for pid in old), "who streams is still there"
        assert not any(stream.done() for stream in streams)
        release.set()
        replies = [stream.result() for stream in streams]
    assert all(reply.is_whole and reply.events()[-1] == "[DONE]" for reply in replies)
    wait_until(lambda: all(is_gone(pid) for pid in old), "the earlier workers have ended")
    running.settle_down()
    assert {event["outcome"] for event in running.events("demo")} == {"complete"}


def ask(served: Served, body: dict[str, object]) -> Reply:
    with served.wire() as wire:
        return wire.ask(wire.chat(body))


def test_a_stream_that_outlasts_the_drain_is_cut_and_billed(running: Served, upstream: Upstream) -> None:
    running.options["drain_timeout"] = "300 ms"
    running.write_config()
    running.reload()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(lambda: ask(running, HELD))
        wait_until(lambda: upstream.calls and upstream.calls[-1].sent_chunks == 1, "it runs")
        reload(running)
        reply = stream.result()
    assert "[DONE]" not in reply.events()
    running.settle_down()
    (event,) = running.events("demo")
    assert event["request_id"] == reply.headers["x-request-id"] and event["outcome"] == "killed"


def test_a_reload_brings_new_backends_options_and_the_new_certificate(running: Served) -> None:
    with socket.create_connection(running.address) as raw, running.tls.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
        first = tls.getpeercert(binary_form=True)
    folder = running.state.parent / "renewed"
    folder.mkdir()
    certificate, key = tollgate.make_certificate(folder)
    running.ca, running.certificate_key = certificate, key
    running.__dict__.pop("tls", None)
    running.backends["late"] = {"kind": "echo"}
    running.options["body_bytes"] = "1 KiB"
    running.write_config()
    running.reload()
    with socket.create_connection(running.address) as raw, running.tls.wrap_socket(raw, server_hostname="127.0.0.1") as tls:
        assert tls.getpeercert(binary_form=True) != first
    running.cli("apply", str(running.write_catalogue([{"id": "demo/late", "backends": [{"name": "late"}]}])))
    wait_until(lambda: ask(running, {**FAST, "model": "demo/late"}).status == 200, "the new backend serves")
    assert ask(running, {**FAST, "user": "x" * 2000}).status == 413
    context = ssl.create_default_context(cafile=str(certificate))
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert running.try_get("/healthz", base=running.console)[0] == 200, "the console has it too"


def test_a_model_whose_backend_is_taken_away_or_replaced_is_warned_of_and_its_calls_are_told_the_truth(running: Served) -> None:
    running.backends["late"], running.backends["more"] = {"kind": "echo"}, {"kind": "openai", "url": running.backends["held"]["url"]}
    running.write_config()
    running.reload()
    models = [{"id": "demo/late", "backends": [{"name": "late"}]},
              {"id": "demo/more", "backends": [{"name": "more"}], "surfaces": ["embeddings"]}]
    running.cli("apply", str(running.write_catalogue(models)))
    wait_until(lambda: ask(running, {**FAST, "model": "demo/late"}).status == 200, "the new backend serves")
    del running.backends["late"]
    running.backends["more"] = {"kind": "echo"}
    running.write_config()
    running.reload()
    wait_until(lambda: logged(running, "model_without_backend") == 2 or None, "both are warned of")
    assert "model demo/late: the config has no backend 'late'" in running.log_text()
    assert "model demo/more: none of its backends can serve embeddings" in running.log_text()
    for path, body in (("chat/completions", {**FAST, "model": "demo/late"}), ("embeddings", {"model": "demo/more", "input": "x"})):
        with running.wire() as wire:
            reply = wire.ask(wire.post(f"/v1/{path}", body))
        assert (reply.status, reply.headers["x-tollgate-code"]) == (502, "upstream_missing"), reply
        assert reply.headers["x-should-retry"] == "false" and "retry-after" not in reply.headers
        running.ship()
        event = running.get(f"/v1/usage/{reply.headers['x-request-id']}")
        assert (event["outcome"], event["amount"]) == ("upstream_error", "0")
    assert ask(running, FAST).status == 200, "others are served as before"


@pytest.mark.parametrize(("line", "says"), [
    ("head_bytes = nonsense", "head_bytes"),
    ('listen = "127.0.0.1:1"', "only a restart changes it"),
    ("workers = 3", "only a restart changes it"),
])
def test_a_config_that_is_refused_changes_nothing_and_is_named_with_its_line(running: Served, line: str, says: str) -> None:
    workers = running.workers()
    good = running.config.read_text()
    name = line.split()[0]
    kept = [known for known in good.splitlines() if not known.startswith(f"{name} ")]
    running.config.write_text("\n".join([line, *kept]) + "\n")
    os.kill(running.pid, signal.SIGHUP)
    wait_until(lambda: logged(running, "reload_refused") == 1, "it is refused")
    (refusal,) = [entry for entry in running.log_text().splitlines() if "reload_problem" in entry]
    assert f"{running.config}:1: " in refusal and says in refusal, refusal
    assert running.workers() == workers
    assert ask(running, FAST).status == 200
    running.config.write_text(good)
    reload(running)
    assert ask(running, FAST).status == 200


def test_new_workers_that_cannot_serve_leave_the_old_in_place(running: Served) -> None:
    old = running.workers()
    assert running.redis.process
    os.kill(running.redis.process.pid, signal.SIGSTOP)
    try:
        os.kill(running.pid, signal.SIGHUP)
        wait_until(lambda: len(running.workers()) == 4, "new workers start")
        os.kill((set(running.workers()) - set(old)).pop(), signal.SIGKILL)
        wait_until(lambda: logged(running, "reload_given_up") == 1, "the reload is given up")
    finally:
        os.kill(running.redis.process.pid, signal.SIGCONT)
    wait_until(lambda: running.workers() == old, "only the old workers are left")
    running.wait_ready()
    assert logged(running, "all_reloaded") == 0
    assert ask(running, FAST).status == 200


def test_a_reload_asked_for_during_another_is_done_after_it(running: Served) -> None:
    assert running.redis.process
    old = running.workers()
    os.kill(running.redis.process.pid, signal.SIGSTOP)      # so that the first does not end too soon
    try:
        os.kill(running.pid, signal.SIGHUP)
        wait_until(lambda: len(running.workers()) == 4, "new workers start")
        running.options["body_bytes"] = "1 KiB"
        running.write_config()
        os.kill(running.pid, signal.SIGHUP)
    finally:
        os.kill(running.redis.process.pid, signal.SIGCONT)
    wait_until(lambda: logged(running, "reloaded") == 2, "both have come into force")
    wait_until(lambda: set(running.workers()).isdisjoint(old) and len(running.workers()) == 2, "what ran before has ended")
    assert ask(running, {**FAST, "user": "x" * 2000}).status == 413
