"""Several model servers for one model: which is asked, when another is asked instead, and when none is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import money
from tollgate import Served, free_port, wait_until
from upstream import STREAM_HEAD, Call, Upstream, chunk, sse, usage_chunk
from wire import Reply, content_chunks

MESSAGES: list[Any] = [{"role": "user", "content": "hello upstream"}]
NAMES = ("one", "two", "three")


class Several:
    """A gateway of one worker, whose breakers the tests can follow, and its scripted model servers by name."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.servers = {name: Upstream() for name in NAMES}
        served.options = {"workers": 1}
        served.backends = {name: self.backend(name) for name in NAMES}
        # To the gateway both are names; a lookup makes 127.0.0.1 of the first.
        served.backends["named"] = {"kind": "openai", "url": f"http://127.1:{self.servers['two'].port}/v1"}
        served.backends["unknown"] = {"kind": "openai", "url": "http://no-such-host.invalid/v1", "breaker_failures": 0,
                                      "connect_timeout": "3 s"}
        served.backends["closed"] = {"kind": "openai", "url": f"http://127.0.0.1:{free_port()}/v1"}

    def backend(self, name: str, **more: Any) -> dict[str, Any]:
        return {"kind": "openai", "url": self.servers[name].url, **more}

    def forget(self) -> None:
        for server in self.servers.values():
            server.calls.clear()
            server.respond = lambda call: call.stream(["fine"]) if call.json["stream"] else call.complete("fine")

    def ask(self, model: str, *, stream: bool = False) -> Reply:
        with self.served.wire() as wire:
            return wire.ask(wire.chat({"model": model, "messages": MESSAGES, "stream": stream}))

    def asked(self, reply: Reply) -> list[str]:
        """The servers that saw the call."""
        return [name for name, server in self.servers.items() for call in server.calls
                if call.headers["x-request-id"] == reply.headers["x-request-id"]]

    def event(self, reply: Reply) -> Any:
        self.served.ship()
        (event,) = [event for event in self.served.events() if event["request_id"] == reply.headers["x-request-id"]]
        return event

    def breaker(self, backend: str) -> str:
        """The state that the only worker's breaker of the backend is in, by the metrics."""
        status, text = self.served.try_get("/metrics", base=self.served.console)
        assert status == 200, text
        (state,) = [line for line in text.splitlines()
                    if line.startswith(f'tollgate_backend_breaker{{backend="{backend}"') and line.endswith(" 1")]
        return state.split('state="')[1].partition('"')[0]

    def logged(self, event: str) -> int:
        return self.served.log_text().count(f'"event":"{event}"')


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served]) -> Iterator[Several]:
    served = serve_for_module("upstreams")
    several = Several(served)
    # Each of these names a server of its own to the breakers.
    for name in ("refusing", "failing", "trickling"):
        served.backends[name] = several.backend("one")
    served.backends["failing"]["breaker_failures"] = 2
    served.backends["failing"]["breaker_time"] = "1 h"
    served.backends["trickling"]["total_timeout"] = "900 ms"
    for name in ("one", "two"):
        served.backends[name]["breaker_failures"] = 0
    models = {"equal": [{"name": "one", "weight": 5}, {"name": "two", "weight": 5}, {"name": "three", "priority": 1}],
              "spare": [{"name": "one"}, {"name": "three", "priority": 1}],
              "half": [{"name": "closed"}, {"name": "two", "priority": 2}],
              "named": [{"name": "named"}],
              "unknown": [{"name": "unknown"}],
              "unknown-first": [{"name": "unknown"}, {"name": "named", "priority": 1}],
              "refusing": [{"name": "refusing"}, {"name": "two", "priority": 1}],
              "refusing-alone": [{"name": "refusing"}],
              "failing": [{"name": "failing"}],
              "trickling": [{"name": "trickling"}]}
    served.start().set_up("100", [{"id": f"demo/{name}", "backends": backends} for name, backends in models.items()])
    yield several
    for server in several.servers.values():
        server.close()


@pytest.fixture(autouse=True)
def fresh(gateway: Several) -> None:
    gateway.forget()


def test_equals_share_the_calls_and_the_event_names_the_one_that_served(gateway: Several) -> None:
    """That one of two equals gets none of sixty is never seen."""
    replies = [gateway.ask("demo/equal") for _ in range(60)]
    gateway.served.ship()
    events = {event["request_id"]: event for event in gateway.served.events()}
    for reply in replies:
        assert reply.status == 200
        assert gateway.asked(reply) == [events[reply.headers["x-request-id"]]["backend"]]
    assert gateway.servers["one"].calls and gateway.servers["two"].calls and not gateway.servers["three"].calls


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("status", [429, 503])
def test_another_is_asked_after_a_refusal_for_being_busy(gateway: Several, status: int, stream: bool) -> None:
    gateway.servers["one"].respond = lambda call: call.reply(status, {"error": {"message": "busy"}})
    reply = gateway.ask("demo/spare", stream=stream)
    assert reply.status == 200 and reply.is_whole
    assert gateway.asked(reply) == ["one", "three"]
    event = gateway.event(reply)
    assert (event["backend"], event["outcome"]) == ("three", "complete")


def break_off(call: Call) -> None:
    call.reset()


@pytest.mark.parametrize("respond", [lambda call: call.reply(500, {"error": {}}), break_off, lambda call: None],
                         ids=["fails", "resets", "closes"])
def test_no_other_is_asked_once_one_may_have_begun(gateway: Several, respond: Callable[[Call], None]) -> None:
    gateway.servers["one"].respond = respond
    reply = gateway.ask("demo/spare")
    assert reply.status == 502 and set(gateway.asked(reply)) == {"one"}
    event = gateway.event(reply)
    assert (event["backend"], event["amount"]) == ("one", "0")


def test_one_that_is_not_there_is_passed_over(gateway: Several) -> None:
    reply = gateway.ask("demo/half")
    assert reply.status == 200 and gateway.event(reply)["backend"] == "two"


def test_a_name_is_looked_up_by_a_process_of_its_own_whose_death_no_call_notices(gateway: Several) -> None:
    assert gateway.ask("demo/named").status == 200
    (before,) = gateway.served.children("names")
    os.kill(before, signal.SIGKILL)
    assert gateway.ask("demo/named", stream=True).status == 200
    wait_until(lambda: gateway.served.children("names") not in ([], [before]), "it is started again")
    assert gateway.ask("demo/named").status == 200
    gateway.served.reload()
    assert gateway.ask("demo/named").status == 200


def test_a_name_that_nobody_knows_holds_up_nobody_else(gateway: Several) -> None:
    """How long it takes to learn that depends on the machine's name servers, or that there are none."""
    with gateway.served.wire() as waiting:
        waiting.send(waiting.chat({"model": "demo/unknown", "messages": MESSAGES}))
        assert gateway.ask("demo/named").status == 200
        reply = waiting.reply()
    assert reply.status in (503, 504), reply
    event = gateway.event(reply)
    assert (event["backend"], event["amount"]) == ("unknown", "0")
    reply = gateway.ask("demo/unknown-first")
    assert reply.status == 200 and gateway.event(reply)["backend"] == "named"


def test_a_retry_after_is_kept_to_by_every_call(gateway: Several) -> None:
    """The first call is refused and goes elsewhere; those after it go there at once, or, where there is nothing else, are
    told when to come back."""
    gateway.servers["one"].respond = lambda call: call.reply(429, {"error": {}}, retry_after="500")
    first, second = gateway.ask("demo/refusing"), gateway.ask("demo/refusing", stream=True)
    assert (first.status, second.status) == (200, 200)
    assert gateway.asked(first) == ["one", "two"] and gateway.asked(second) == ["two"]
    alone = gateway.ask("demo/refusing-alone")
    assert (alone.status, alone.headers["x-tollgate-code"]) == (503, "upstream_unreachable")
    assert 1 <= int(alone.headers["retry-after"]) <= 500
    assert not gateway.asked(alone)
    event = gateway.event(alone)
    assert (event["outcome"], event["amount"]) == ("upstream_error", "0")


def test_a_backend_that_fails_in_a_row_is_left_alone_and_tried_again(gateway: Several) -> None:
    """Each trial that fails doubles the pause, so sooner or later a call comes into one, however slow the machine."""
    def unasked() -> Reply | None:
        reply = gateway.ask("demo/failing")
        assert reply.status == (502 if gateway.asked(reply) else 503)
        return None if gateway.asked(reply) else reply

    paused, resumed = gateway.logged("backend_paused"), gateway.logged("backend_resumed")
    gateway.servers["one"].respond = lambda call: call.reply(500, {"error": {}})
    for _ in range(2):
        gateway.ask("demo/failing")
    assert gateway.logged("backend_paused") > paused
    reply = wait_until(unasked, "a call is turned away without asking it")
    assert int(reply.headers["retry-after"]) >= 1
    wait_until(lambda: gateway.breaker("failing") != "closed", "the breaker shows in the metrics")
    gateway.forget()
    wait_until(lambda: gateway.ask("demo/failing").status == 200, "it is tried again")
    wait_until(lambda: gateway.breaker("failing") == "closed", "the breaker has closed")
    assert gateway.logged("backend_resumed") > resumed
    assert all(gateway.ask("demo/failing").status == 200 for _ in range(5))


def test_an_answer_that_trickles_for_too_long_times_out(gateway: Several) -> None:
    def trickle(call: Call) -> None:
        call.begin_stream()
        while not call.hung_up_at:
            call.word("a ")
            time.sleep(0.05)
    gateway.servers["one"].respond = trickle
    reply = wait_until(lambda: (reply := gateway.ask("demo/trickling", stream=True)).status == 200 and reply,
                       "an answer has begun within its time")
    assert "[DONE]" not in reply.events() and '"upstream_timeout"' in reply.events()[-1]
    event = gateway.event(reply)
    assert event["outcome"] == "timeout" and event["units"]["output_tokens"] > 0


def test_a_stream_that_ends_at_any_byte_is_never_taken_for_whole(gateway: Several) -> None:
    """Nor billed for more than it brought: one call for each byte of an answer, which ends there."""
    parts = [sse(chunk("one ")), sse(chunk("two", "stop")), sse(usage_chunk((5, 2))), "data: [DONE]\n\n", ""]
    answer = STREAM_HEAD + "".join(f"{len(part):x}\r\n{part}\r\n" for part in parts)
    done = answer.index("[DONE]\n\n") + len("[DONE]\n\n")
    replies = []
    for cut in range(0, len(answer), 3):
        gateway.servers["one"].respond = lambda call, cut=cut: call.send(answer[:cut])
        replies.append((cut, gateway.ask("demo/spare", stream=True)))
    gateway.served.ship()
    events = {event["request_id"]: event for event in gateway.served.events()}
    for cut, reply in replies:
        event, is_whole = events[reply.headers["x-request-id"]], "[DONE]" in reply.body.decode()
        assert (event["outcome"] == "complete") == is_whole == (cut >= done), (cut, reply, event)
        assert event["backend"] == "one"
        handed = content_chunks(reply.events()) if reply.status == 200 else 0
        assert event["units"].get("output_tokens", 0) == handed, (cut, reply, event)


def test_the_accounts_of_all_this_add_up(gateway: Several) -> None:
    served = gateway.served
    served.settle_down()
    assert served.balance() == 100 - money.total(served.events())
