"""Credit and concurrency hold however many calls come at once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import openai
import pytest

import money
from tollgate import Served, wait_until
from upstream import Call, Upstream
from wire import Reply

WORDS = 25
CALL = {"model": "demo/slow", "messages": [{"role": "user", "content": "w " * WORDS}], "stream": True}
PRICES = {"dime": {"call": "0.10", "input_tokens": "0", "output_tokens": "0"},
          "tokens": {"input_tokens": "1", "output_tokens": "1000"}}


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served], upstream: Upstream) -> Iterator[Served]:
    """`demo/slow` costs 0.10 a call and takes some seconds, `demo/held` as much and as long as the test says; `demo/tokens`
    holds more than it costs."""
    own = serve_for_module("credit")
    own.backends = {"slow": {"kind": "echo", "delay": "120 ms"}, "fast": {"kind": "echo"},
                    "held": {"kind": "openai", "url": upstream.url}}
    models = [{"id": "demo/slow", "price": "dime", "backends": [{"name": "slow"}]},
              {"id": "demo/fast", "price": "dime", "backends": [{"name": "fast"}]},
              {"id": "demo/held", "price": "dime", "backends": [{"name": "held"}]},
              {"id": "demo/tokens", "price": "tokens", "backends": [{"name": "fast"}]}]
    yield own.start().set_up("1", models, PRICES)


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


def call(gateway: Served, key: str, body: dict[str, object] = CALL) -> Reply:
    with gateway.wire(key) as wire:
        return wire.ask(wire.chat(body))


def test_credit_for_fifty_calls_admits_exactly_fifty_of_ninety_at_once(gateway: Served) -> None:
    account, key = gateway.new_account("5.00")
    lows: list[Decimal] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.1):
            state = gateway.account_state(account)
            lows.append(min(Decimal(state["available"]), Decimal(state["balance"])))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with ThreadPoolExecutor(90) as pool:
            replies = list(pool.map(lambda _: call(gateway, key), range(90)))
    finally:
        is_over.set()
        watcher.join()
    assert Counter(reply.status for reply in replies) == {200: 50, 402: 40}
    assert all(reply.is_whole and reply.events()[-1] == "[DONE]" for reply in replies if reply.status == 200)
    assert all(reply.error["code"] == "insufficient_quota" for reply in replies if reply.status == 402)
    assert lows and min(lows) >= 0, f"credit was below zero: {min(lows)}"
    assert Decimal(gateway.settle_down(account)["balance"]) == 0
    events = gateway.events(account)
    assert len(events) == 50 and money.total(events) == 5
    assert call(gateway, key).status == 402, "nothing is left"
    gateway.cli("account", "credit", account, "0.10")
    assert call(gateway, key, {**CALL, "model": "demo/fast"}).status == 200
    assert Decimal(gateway.settle_down(account)["balance"]) == 0


def test_a_hold_is_for_the_worst_case_and_gives_back_what_was_not_used(gateway: Served) -> None:
    account, key = gateway.new_account("0.2")
    body = {"model": "demo/tokens", "messages": [{"role": "user", "content": "one two"}], "max_tokens": 100}
    for _ in range(3):      # each may cost 0.1 and a little, and costs 0.002 and a little
        reply = call(gateway, key, body)
        assert reply.status == 200
        gateway.settle_down(account)
    refused = call(gateway, key, {**body, "max_tokens": 1000})
    assert refused.status == 402, "it may cost 1"
    assert "; lower max_completion_tokens, or ask the operator" in refused.error["message"]
    events = gateway.events(account)
    assert [event["amount"] for event in events] == \
        [money.spelled(money.rate(PRICES["tokens"], {"input_tokens": 2, "output_tokens": 2}))] * 3
    assert gateway.balance(account) == Decimal("0.2") - money.total(events)


@pytest.mark.parametrize(("path", "field"), [("/v1/chat/completions", "max_completion_tokens"), ("/v1/messages", "max_tokens")])
def test_who_lacks_credit_is_told_the_field_of_his_own_surface_if_it_helps(gateway: Served, path: str, field: str) -> None:
    body = {"model": "demo/tokens", "messages": [{"role": "user", "content": "one two"}], "max_tokens": 1000}
    for credit, helps in (("0.2", True), ("0.0001", False)):
        _, key = gateway.new_account(credit)
        with gateway.wire(key) as wire:
            refused = wire.ask(wire.post(path, body))
        assert refused.status == 402 and f"{credit} CNY of your credit is left" in refused.error["message"], refused
        assert (f"; lower {field}, or ask the operator" in refused.error["message"]) == helps
        assert ("lower max" in refused.error["message"]) == helps


def test_a_postpaid_account_without_a_limit_is_told_who_can_raise_it(gateway: Served) -> None:
    _, key = gateway.new_account(None, "--postpaid")
    refused = call(gateway, key)
    assert refused.status == 402 and "ask the operator" in refused.error["message"]
    assert "if the account is postpaid, to raise its credit limit" in refused.error["message"]


def test_a_postpaid_account_may_owe_its_limit_and_no_more(gateway: Served) -> None:
    account, key = gateway.new_account(None, "--postpaid", "--credit-limit", "0.30")
    body = {**CALL, "model": "demo/fast"}
    statuses = []
    for _ in range(4):
        statuses.append(call(gateway, key, body).status)
        gateway.settle_down(account)
    assert statuses == [200, 200, 200, 402]
    assert gateway.balance(account) == Decimal("-0.3")


def test_a_call_over_the_concurrency_limit_gets_429_and_the_sdk_waits_and_succeeds(gateway: Served, upstream: Upstream) -> None:
    account, key = gateway.new_account("1", "--prepaid", "--concurrency", "2")
    may_end = threading.Event()
    refusals: list[int] = []

    def respond(asked: Call) -> None:
        may_end.wait()
        asked.stream(["at last"])

    def note(response: Any) -> None:
        refusals.append(response.status_code)
        if refusals.count(429) == 2:
            may_end.set()
    upstream.respond = respond
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(call, gateway, key, {**CALL, "model": "demo/held"}) for _ in range(2)]
        try:
            wait_until(lambda: gateway.account_state(account)["open_calls"] == 2, "both run")
            refused = call(gateway, key)
            assert refused.status == 429 and refused.error["code"] == "rate_limit_exceeded", refused
            assert int(refused.headers["retry-after"]) >= 1
            assert refused.headers["x-tollgate-code"] == "policy_concurrency"
            with pytest.raises(openai.RateLimitError):
                gateway.client(key).chat.completions.create(model="demo/fast", messages=CALL["messages"])
            client = gateway.client(key, max_retries=100)
            client._client.event_hooks["response"].append(note)
            answer = client.chat.completions.create(model="demo/fast", messages=CALL["messages"])
        finally:
            may_end.set()
        assert answer.usage.completion_tokens == WORDS and refusals.count(429) >= 2
        assert [reply.result().status for reply in running] == [200, 200]
    assert gateway.settle_down(account)["balance"] == "0.7"


def test_a_client_that_hangs_up_gives_its_place_back(gateway: Served) -> None:
    account, key = gateway.new_account("1", "--prepaid", "--concurrency", "1")
    for _ in range(3):
        with gateway.wire(key) as wire:
            wire.send(wire.chat(CALL))
            reply = Reply()
            next(wire.stream(reply))
            assert reply.status == 200
        gateway.settle_down(account)
    assert gateway.balance(account) >= Decimal("0.7")
