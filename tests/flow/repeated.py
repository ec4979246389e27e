"""What the flows of repeated calls share: a gateway whose model is a script, calls with a key of their own, and the books
that they must leave."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import money
from tollgate import DEMO_PRICE, Dev, Served, run
from upstream import Call, Upstream
from wire import Reply

ONE = money.rate(DEMO_PRICE, {"input_tokens": 3, "output_tokens": 2})       # what an answer of the scripted model costs
PLAIN = {"model": "demo/scripted", "messages": [{"role": "user", "content": "a b c"}]}
STREAM = {**PLAIN, "stream": True}
MESSAGES: Any = PLAIN["messages"]
REPLAY = "x-tollgate-idempotent-replay"


@pytest.fixture(scope="module")
def scripted() -> Iterator[Upstream]:
    with Upstream() as own:
        yield own


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served], scripted: Upstream) -> Iterator[Served]:
    own = serve_for_module("idempotency")
    own.backends = {"scripted": {"kind": "openai", "url": scripted.url}}
    own.options = {"redis_timeout": "3 s", "recovering_wait": "3 s"}
    models = [{"id": "demo/scripted", "backends": [{"name": "scripted", "model": "scripted"}]},
              {"id": "demo/draining", "backends": [{"name": "scripted", "model": "scripted"}], "on_disconnect": "drain"}]
    yield own.start().set_up("100", models)


@pytest.fixture(autouse=True)
def forget_script(scripted: Upstream) -> None:
    scripted.respond = lambda call: call.complete("an answer") if not call.json.get("stream") else call.stream(["one ", "two"])
    scripted.calls.clear()


@pytest.fixture
def account(gateway: Served) -> tuple[str, str]:
    return gateway.new_account("1")


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": f"order-{uuid.uuid4()}"}


def ask(gateway: Served | Dev, key: str, body: Any, fields: dict[str, str] | None = None) -> Reply:
    with gateway.wire(key) as wire:
        return wire.ask(wire.chat(body, fields))


def check_books(gateway: Served, account: str, count: int, credit: int = 1) -> list[Any]:
    """So many events cost something; the balance is what all leave, and nothing is held."""
    state = gateway.settle_down(account)
    events = gateway.events(account)
    assert len([event for event in events if event["amount"] != "0"]) == count, events
    assert state["balance"] == money.spelled(credit - money.total(events))
    return events


class Gate:
    """A response of the model that waits until the test lets it go."""

    def __init__(self, then: Callable[[Call], None]) -> None:
        self.has_come, self.may_go, self.then = threading.Event(), threading.Event(), then

    def __call__(self, call: Call) -> None:
        self.has_come.set()
        self.may_go.wait()
        self.then(call)


def complete(call: Call) -> None:
    call.complete("an answer")


def check_all_books(gateway: Served, more_than: int) -> None:
    """The month of all that the accounts of this gateway did can be settled and verified."""
    gateway.ship()
    accounts = gateway.cli("account", "list")
    assert len(accounts) > more_than
    for account in accounts:
        gateway.settle_down(account["account"], 240)
    (newest,) = gateway.cli("usage", "list", "--limit", "1")
    bundle = gateway.state.parent / "preview"
    run("settle", "preview", newest["period"], "--out", str(bundle), config=gateway.config, check=True)
    run("settle", "verify", str(bundle), "--archive", str(gateway.archive), config=gateway.config, check=True)
