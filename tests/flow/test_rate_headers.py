"""What answers say of rates is what the next call meets: what is left may be taken, no more may, and all is back when it is said to be."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from typing import Any

import pytest

from tollgate import Dev, wait_until
from upstream import Call, Upstream
from wire import Reply, Wire

OPENAI = "x-ratelimit-{1}-{0}"
ANTHROPIC = "anthropic-ratelimit-{0}-{1}"
HELD = "hold this one"


@dataclass(frozen=True)
class Surface:
    """One way to call, and how its SDKs read what is left."""
    path: str
    cap: str
    name: str

    def call(self, model: str, words: str = "a b", cap: int = 5) -> dict[str, Any]:
        return {"model": model, self.cap: cap, "messages": [{"role": "user", "content": words}]}

    def ask(self, wire: Wire, body: dict[str, Any]) -> Reply:
        return wire.ask(wire.post(self.path, body))

    def told(self, reply: Reply, kind: str, what: str) -> str:
        return reply.headers[self.name.format(kind, what)]

    def left(self, reply: Reply, kind: str) -> int:
        return int(self.told(reply, kind, "remaining"))


SURFACES = [Surface("/v1/chat/completions", "max_completion_tokens", OPENAI), Surface("/v1/messages", "max_tokens", ANTHROPIC)]


@pytest.fixture(params=SURFACES, ids=["openai", "anthropic"])
def surface(request: pytest.FixtureRequest) -> Surface:
    return request.param


def seconds(wait: str) -> float:
    """Of "20ms", "1.5s", "6m0s"."""
    if wait.endswith("ms"):
        return int(wait[:-2]) / 1000
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?([0-9.]+)s", wait).groups()
    return 60 * int(minutes or 0) + float(rest)


def test_requests_that_are_left_pass_and_the_next_one_does_not(gateway: Dev, surface: Surface) -> None:
    _, key = gateway.new_account("10", "--prepaid", "--rpm", "3")
    began = time.monotonic()
    with gateway.wire(key) as wire:
        first = surface.ask(wire, surface.call("demo/echo"))
        assert first.status == 200 and surface.told(first, "requests", "limit") == "3"
        assert surface.left(first, "requests") == 2
        for _ in range(surface.left(first, "requests")):
            last = surface.ask(wire, surface.call("demo/echo"))
            assert last.status == 200
        refused = surface.ask(wire, surface.call("demo/echo"))
    if time.monotonic() - began < 19:       # a third of the limit has come back after 20 s
        assert surface.left(last, "requests") == surface.left(refused, "requests") == 0
        assert refused.status == 429 and 0 < int(refused.headers["retry-after-ms"]) <= 20000


def test_all_is_left_again_when_it_is_said_to_be_and_not_before(gateway: Dev, surface: Surface) -> None:
    _, key = gateway.new_account("10", "--prepaid", "--rpm", "60")
    with gateway.wire(key) as wire:
        sent = datetime.now(UTC)
        for _ in range(3):
            reply = surface.ask(wire, surface.call("demo/echo"))
        got = datetime.now(UTC)
        wait = seconds(reply.headers["x-ratelimit-reset-requests"])
        if (got - sent).total_seconds() < 1:    # nothing of what three calls took has come back
            assert surface.left(reply, "requests") == 57 and 1 < wait <= 3
        if surface.name == ANTHROPIC:
            full = datetime.fromisoformat(surface.told(reply, "requests", "reset"))
            assert sent.timestamp() - 0.002 <= full.timestamp() - wait <= got.timestamp() + 0.002
        time.sleep(wait)
        assert surface.left(surface.ask(wire, surface.call("demo/echo")), "requests") == 59


def hold(released: Event) -> Callable[[Call], None]:
    """Whoever says HELD waits."""
    def respond(call: Call) -> None:
        if HELD in str(call.json):
            released.wait(120)
        call.complete("an answer")
    return respond


def test_tokens_that_are_left_may_be_used_and_more_may_not(gateway: Dev, scripted: Upstream, surface: Surface) -> None:
    account, key = gateway.new_account("100", "--prepaid", "--tpm", "1200")
    released = Event()
    scripted.respond = hold(released)
    before = len(scripted.calls)
    try:
        with gateway.wire(key) as busy, gateway.wire(key) as wire:
            began = time.monotonic()
            busy.send(busy.post(surface.path, surface.call("demo/upstream", HELD, 500)))
            wait_until(lambda: len(scripted.calls) > before, "the call that is held has begun")
            refused = surface.ask(wire, surface.call("demo/upstream", cap=1090))
            if time.monotonic() - began < 20:   # 20 tokens a second come back
                assert refused.status == 429 and 0 < surface.left(refused, "tokens") < 1000
            body = surface.call("demo/upstream", cap=100)
            room = surface.left(refused, "tokens") - len(wire.post(surface.path, body).partition(b"\r\n\r\n")[2])
            passed = surface.ask(wire, {**body, surface.cap: max(room, 100)})
            if room >= 100:
                assert passed.status == 200 and surface.told(passed, "tokens", "limit") == "1200"
            released.set()
            assert busy.reply().status == 200
    finally:
        released.set()
        scripted.respond = lambda call: call.complete("an answer")
    gateway.settle_down(account)


def test_of_tokens_all_is_left_again_when_it_is_said_to_be_and_the_wait_that_is_told_is_long_enough(
        gateway: Dev, scripted: Upstream, surface: Surface) -> None:
    """While calls are open that hold some, so that nothing is given back. One that is too large for ever takes nothing."""
    limit = 12000                           # 200 a second come back
    account, key = gateway.new_account("100", "--prepaid", "--tpm", str(limit))
    too_large, large = (surface.call("demo/upstream", "w" * size, 4096) for size in (8000, 7000))
    released = Event()
    scripted.respond = hold(released)
    try:
        with gateway.wire(key) as first, gateway.wire(key) as second, gateway.wire(key) as wire:
            def take(busy: Wire) -> float:
                """Some two thousand; when that was."""
                before, began = len(scripted.calls), time.monotonic()
                busy.send(busy.post(surface.path, surface.call("demo/upstream", HELD, 2000)))
                wait_until(lambda: len(scripted.calls) > before, "the call that is held has begun")
                return began

            began = take(first)
            reply = surface.ask(wire, too_large)
            wait = seconds(reply.headers["x-ratelimit-reset-tokens"])
            assert reply.status == 429 and reply.headers["x-tollgate-code"] == "policy_call_too_large", reply
            assert wait < 12
            if time.monotonic() - began < 5:
                assert wait > 5 and surface.left(reply, "tokens") < limit - 1000
            time.sleep(wait)
            assert surface.left(surface.ask(wire, too_large), "tokens") == limit

            began = take(second)
            reply = surface.ask(wire, large)
            if time.monotonic() - began < 4:
                assert reply.status == 429 and reply.headers["x-tollgate-code"] == "policy_token_rate", reply
            if reply.status == 429:
                time.sleep(int(reply.headers["retry-after-ms"]) / 1000)
                reply = surface.ask(wire, large)
            assert reply.status == 200, reply
            released.set()
            assert [busy.reply().status for busy in (first, second)] == [200, 200]
    finally:
        released.set()
        scripted.respond = lambda call: call.complete("an answer")
    gateway.settle_down(account)


def test_of_an_accounts_and_a_keys_limit_the_one_with_less_left_is_told(gateway: Dev, surface: Surface) -> None:
    account, wide = gateway.new_account("10", "--prepaid", "--rpm", "60", "--tpm", "5000")
    narrow = gateway.cli_one("key", "create", account, "--rpm", "3", "--tpm", "100000")["secret"]
    began = time.monotonic()
    with gateway.wire(narrow) as wire:
        first = surface.ask(wire, surface.call("demo/echo"))
        assert (surface.told(first, "requests", "limit"), surface.left(first, "requests")) == ("3", 2)
        assert surface.told(first, "tokens", "limit") == "5000" and surface.left(first, "tokens") < 5000
        replies = [surface.ask(wire, surface.call("demo/echo")) for _ in range(3)]
    if time.monotonic() - began < 19:       # a third of the key's limit has come back after 20 s
        assert [reply.status for reply in replies] == [200, 200, 429]
        assert "key" in str(replies[-1].json()["error"]["message"])
    with gateway.wire(wide) as wire:
        other = surface.ask(wire, surface.call("demo/echo"))
    assert other.status == 200 and surface.told(other, "requests", "limit") == "60"
    assert surface.left(other, "requests") < 60


def test_what_has_no_limit_says_nothing_of_one(gateway: Dev, surface: Surface) -> None:
    _, key = gateway.new_account("10", "--prepaid", "--tpm", "5000")
    with gateway.wire(key) as wire:
        names = set(surface.ask(wire, surface.call("demo/echo")).headers)
    assert not {name for name in names if "ratelimit" in name and "requests" in name}
    assert surface.name.format("tokens", "remaining") in names
    assert any(name.startswith("anthropic-") for name in names) == (surface.name == ANTHROPIC)
