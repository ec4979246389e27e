"""Clients that leave in the middle of an answer: a model that is cancelled is stopped and what was handed over is billed; one
that drains runs to its end and its own numbers are billed. Its card says which."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import money
from processes import sockets_between
from tollgate import DEMO_PRICE, PATIENCE, Served, wait_until
from upstream import Call, Upstream, chunk, sse, usage_chunk
from wire import Reply

WORDS = 60
INPUT = 5
CAP = 10
POLICIES = {"demo/cancelled": "cancel", "demo/draining": "drain", "demo/unsaid": "cancel"}


class Half:
    """The server says one word, or nothing of a plain answer, and the rest when the test says so."""

    def __init__(self) -> None:
        self.has_come = threading.Event()
        self.may_go_on = threading.Event()
        self.is_whole = threading.Event()       # all of the answer was taken
        self.was_left = threading.Event()       # the gateway hung up before

    def __call__(self, call: Call) -> None:
        self.has_come.set()
        if call.json["stream"]:
            call.begin_stream()
            call.word("w0 ")
        while not self.may_go_on.is_set():
            if call.wait_for_hang_up(0.05):
                self.was_left.set()
                return
        self._end(call)
        self.is_whole.set()

    def _end(self, call: Call) -> None:
        call.connection.settimeout(PATIENCE)
        if not call.json["stream"]:
            call.complete("w " * WORDS, (INPUT, WORDS))
            return
        for number in range(1, WORDS):
            call.word(f"w{number} ")
        call.event(chunk(None, "stop"))
        call.event(usage_chunk((INPUT, WORDS)))
        call.write("data: [DONE]\n\n")
        call.end_stream()


class Broken(Half):
    """Its second half breaks off after two words more."""

    def _end(self, call: Call) -> None:
        call.connection.settimeout(PATIENCE)
        call.word("w1 ")
        call.word("w2 ")


class Endless(Half):
    """Its second half brings more than the cap, states no numbers, and goes on until it is left."""

    def _end(self, call: Call) -> None:
        call.connection.settimeout(PATIENCE)
        call.write("".join(sse(chunk(f"w{number} ")) for number in range(1, CAP + 1)))
        if call.wait_for_hang_up(PATIENCE):
            self.was_left.set()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as own:
        yield own


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served], upstream: Upstream) -> Iterator[Served]:
    own = serve_for_module("hang-up")
    own.backends = {"half": {"kind": "openai", "url": upstream.url, "breaker_failures": 0}}
    models = [{"id": name, "backends": [{"name": "half"}], **({} if name == "demo/unsaid" else {"on_disconnect": policy})}
              for name, policy in POLICIES.items()]
    yield own.start().set_up("100", models)


def leave(gateway: Served, half: Half, key: str, model: str, *, stream: bool = True, **more: Any) -> str:
    """Asks, leaves after the first word of a stream, or when a plain call has reached its server, and waits until the gateway
    has let go of the connection. The call's id, which who leaves a plain one has not seen."""
    with gateway.wire(key) as wire:
        wire.send(wire.chat({"model": model, "messages": [{"role": "user", "content": "hello"}], "stream": stream, **more}))
        reply = Reply()
        assert half.has_come.wait(PATIENCE)
        for _ in wire.stream(reply) if stream else ():
            if b"w0 " in reply.body:
                break
        port = wire.raw_port
    wait_until(lambda: not sockets_between(gateway.address[1], port), "the gateway has seen that its client is gone")
    return reply.headers.get("x-request-id", "")


def ended(gateway: Served, account: str) -> Any:
    """The account's only event, once no call of it is open."""
    state = gateway.settle_down(account)
    (event,) = gateway.events(account)
    assert state["balance"] == money.spelled(1 - money.total([event]))
    assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))
    return event


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_draining_model_runs_to_its_end_and_is_billed_in_full(gateway: Served, upstream: Upstream, stream: bool) -> None:
    account, key = gateway.new_account("1")
    upstream.respond = half = Half()
    leave(gateway, half, key, "demo/draining", stream=stream)
    assert gateway.account_state(account)["open_calls"] == 1, "it goes on without its client"
    half.may_go_on.set()
    event = ended(gateway, account)
    assert half.is_whole.is_set() and not half.was_left.is_set()
    assert (event["outcome"], event["units"]) == ("complete", {"input_tokens": INPUT, "output_tokens": WORDS})
    assert set(event["provenance"].values()) == {"upstream"}
    assert gateway.get(f"/v1/usage/{event['request_id']}/receipt", key).count(".") == 2, "its receipt can be fetched"


def test_a_draining_stream_whose_server_breaks_off_later_is_billed_for_what_was_handed_over(
        gateway: Served, upstream: Upstream) -> None:
    account, key = gateway.new_account("1")
    upstream.respond = half = Broken()
    request_id = leave(gateway, half, key, "demo/draining")
    half.may_go_on.set()
    event = ended(gateway, account)
    assert half.is_whole.is_set()
    assert (event["request_id"], event["outcome"], event["units"]["output_tokens"]) == (request_id, "upstream_error", 1)


def test_a_draining_stream_that_brings_more_than_was_asked_for_is_ended_as_if_its_client_had_stayed(
        gateway: Served, upstream: Upstream) -> None:
    account, key = gateway.new_account("1")
    upstream.respond = half = Endless()
    request_id = leave(gateway, half, key, "demo/draining", max_tokens=CAP)
    half.may_go_on.set()
    assert half.was_left.wait(PATIENCE), "the model was not stopped"
    event = ended(gateway, account)
    assert (event["request_id"], event["outcome"], event["units"]["output_tokens"]) == (request_id, "limit", 1)


@pytest.mark.parametrize("model", ["demo/cancelled", "demo/unsaid"])
def test_a_stream_that_was_left_is_stopped_at_once_and_billed_for_what_was_handed_over(
        gateway: Served, upstream: Upstream, model: str) -> None:
    account, key = gateway.new_account("1")
    upstream.respond = half = Half()
    request_id = leave(gateway, half, key, model)
    assert half.was_left.wait(PATIENCE), "the model was not stopped"
    event = ended(gateway, account)
    assert (event["request_id"], event["outcome"], event["units"]["output_tokens"]) == (request_id, "client_closed", 1)
    assert event["provenance"] == {"input_tokens": "estimated", "output_tokens": "counted"}


def test_the_card_of_a_model_says_what_becomes_of_a_call_that_was_left(gateway: Served) -> None:
    listed = {model["id"]: model["on_disconnect"] for model in gateway.get("/v1/models")["data"]}
    assert listed == POLICIES
    for name, policy in POLICIES.items():
        assert gateway.get(f"/v1/models/{name}")["on_disconnect"] == policy
        assert gateway.cli_one("model", "show", name)["on_disconnect"] == policy
