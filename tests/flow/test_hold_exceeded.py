"""A model server that makes more than was asked of it: a stream ends at what was admitted, numbers that are stated beyond it are
charged in full, and the operator is told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

import money
from tollgate import DEMO_PRICE, PATIENCE, Served, wait_until
from upstream import Call, Upstream, chunk, sse, usage_of
from wire import Reply, content_chunks

CAP = 10
STATED = (5, 5000)
COST = money.rate(DEMO_PRICE, {"input_tokens": STATED[0], "output_tokens": STATED[1]})
PRICES = {"demo": DEMO_PRICE, "output": {"input_tokens": "0", "output_tokens": "8.00"},
          "dear": {"input_tokens": "0", "output_tokens": "5000000"}}
WORDS = 300


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as own:
        yield own


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served], upstream: Upstream) -> Iterator[Served]:
    """Of `demo/output` a hold is for the output alone, to the nano."""
    own = serve_for_module("hold-exceeded")
    own.backends = {"heedless": {"kind": "openai", "url": upstream.url, "breaker_failures": 0}}
    models = [{"id": "demo/heedless", "backends": [{"name": "heedless"}]},
              {"id": "demo/output", "price": "output", "backends": [{"name": "heedless"}]},
              {"id": "demo/dear", "price": "dear", "backends": [{"name": "heedless"}]}]
    yield own.start().set_up("1", models, PRICES)


def body(model: str = "demo/heedless", *, stream: bool = False, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "five words are in this"}], "max_tokens": CAP,
            "stream": stream, **more}


def ask(gateway: Served, key: str, body: dict[str, Any]) -> Reply:
    with gateway.wire(key) as wire:
        return wire.ask(wire.chat(body))


def event_of(gateway: Served, account: str, reply: Reply) -> Any:
    """The account's only event, which is the reply's."""
    gateway.settle_down(account)
    (event,) = gateway.events(account)
    assert event["request_id"] == reply.headers["x-request-id"]
    return event


def log_of(gateway: Served, reply: Reply) -> list[Any]:
    lines = [json.loads(line) for line in gateway.log_text().splitlines() if line.startswith("{")]
    return [line for line in lines if reply.headers["x-request-id"] in line["text"]]


def alarms(gateway: Served, reply: Reply) -> list[Any]:
    return [line for line in log_of(gateway, reply) if line["event"] == "hold_exceeded"]


def check_alarm(gateway: Served, reply: Reply, cost: Decimal) -> None:
    (alarm,) = alarms(gateway, reply)
    assert alarm["level"] == "error"
    for word in ("demo/heedless", "heedless", f"{money.spelled(cost)} CNY"):
        assert word in alarm["text"], alarm


def go_on_and_on(call: Call) -> None:
    call.begin_stream()
    call.write("".join(sse(chunk(f"w{number} ")) for number in range(WORDS)))
    call.wait_for_hang_up(PATIENCE)


def state_more(call: Call) -> None:
    call.stream(["a ", "few"], STATED) if call.json["stream"] else call.complete("a few", STATED)


@pytest.mark.parametrize("choices", [1, 2])
def test_a_stream_ends_at_what_was_admitted_and_costs_no_more_than_its_hold(
        gateway: Served, upstream: Upstream, choices: int) -> None:
    """The account has exactly what may be used, and none of it is overspent by a single token."""
    may_use = CAP * choices
    most = money.rate(PRICES["output"], {"output_tokens": may_use})
    account, key = gateway.new_account(money.spelled(most))

    upstream.respond = go_on_and_on
    reply = ask(gateway, key, body("demo/output", stream=True, n=choices))
    *parts, last = reply.events()
    assert reply.status == 200 and content_chunks(parts) == may_use
    assert "more output than this call was admitted for" in json.loads(last)["error"]["message"]
    event = event_of(gateway, account, reply)
    assert (event["outcome"], event["units"]["output_tokens"], event["provenance"]["output_tokens"]) == ("limit", may_use, "counted")
    assert event["amount"] == money.spelled(most) and gateway.balance(account) == 0
    wait_until(lambda: upstream.calls[-1].hung_up_at, "the server is stopped")
    assert not alarms(gateway, reply)


def test_so_does_one_that_is_translated(gateway: Served, upstream: Upstream) -> None:
    most = money.rate(PRICES["output"], {"output_tokens": CAP})
    account, key = gateway.new_account(money.spelled(most))
    upstream.respond = go_on_and_on
    with gateway.wire(key) as wire:
        reply = wire.ask(wire.post("/v1/messages", body("demo/output", stream=True)))
    events = [json.loads(event) for event in reply.events()]
    assert [event["type"] for event in events].count("content_block_delta") == CAP
    assert events[-1]["type"] == "error" and "more output than this call was admitted for" in events[-1]["error"]["message"]
    event = event_of(gateway, account, reply)
    assert (event["outcome"], event["amount"]) == ("limit", money.spelled(most)) and gateway.balance(account) == 0


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_what_a_server_states_beyond_the_hold_is_charged_in_full_with_an_alarm(
        gateway: Served, upstream: Upstream, stream: bool) -> None:
    account, key = gateway.new_account("0.002")
    upstream.respond = state_more
    reply = ask(gateway, key, body(stream=stream))
    assert reply.status == 200 and reply.is_whole
    assert upstream.calls[-1].json["max_tokens"] == CAP, "it was told"
    event = event_of(gateway, account, reply)
    assert (event["outcome"], event["amount"], event["units"]) == \
        ("complete", money.spelled(COST), {"input_tokens": STATED[0], "output_tokens": STATED[1]})
    assert gateway.balance(account) == Decimal("0.002") - COST < 0
    check_alarm(gateway, reply, COST)
    assert ask(gateway, key, body()).status == 402


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_cost_that_cannot_be_computed_gives_way_to_what_the_gateway_saw(
        gateway: Served, upstream: Upstream, stream: bool) -> None:
    """A number of tokens that is possible, at a price at which no amount is large enough for them."""
    most = money.rate(PRICES["dear"], {"output_tokens": CAP})
    account, key = gateway.new_account(money.spelled(most))
    stated = (5, 2**31 - 1)
    upstream.respond = lambda call: call.stream(["a ", "few"], stated) if call.json["stream"] else call.complete("a few", stated)
    reply = ask(gateway, key, body("demo/dear", stream=stream))
    assert reply.status == 200 and reply.is_whole
    event = event_of(gateway, account, reply)
    output = event["units"]["output_tokens"]
    assert event["outcome"] == "complete" and (output == 2 if stream else 0 < output <= CAP)
    assert event["provenance"]["output_tokens"] == ("counted" if stream else "estimated")
    assert event["amount"] == money.spelled(money.rate(PRICES["dear"], {"output_tokens": output}))
    assert gateway.balance(account) >= 0
    (alarm,) = [line for line in log_of(gateway, reply) if line["event"] == "unrated_call"]
    assert alarm["level"] == "error" and "backend heedless" in alarm["text"]
    assert not alarms(gateway, reply)


def test_input_that_is_stated_beyond_the_hold_is_charged_and_told_of_a_stream_that_broke_too(
        gateway: Served, upstream: Upstream) -> None:
    account, key = gateway.new_account("0.002")

    def break_off(call: Call) -> None:
        call.begin_stream()
        call.event(chunk("one ", usage=usage_of((5000, 1))))
    upstream.respond = break_off
    reply = ask(gateway, key, body(stream=True))
    assert "[DONE]" not in reply.events()
    event = event_of(gateway, account, reply)
    cost = money.rate(DEMO_PRICE, event["units"])
    assert (event["outcome"], event["units"]["input_tokens"]) == ("upstream_error", 5000)
    assert gateway.balance(account) == Decimal("0.002") - cost < 0
    check_alarm(gateway, reply, cost)


def test_a_budget_and_a_token_rate_are_passed_by_it_once_and_hold_for_the_next(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = state_more
    for limit, most, code in (("--budget-day", "0.002", "policy_budget"), ("--tpm", "200", "policy_token_rate")):
        account, key = gateway.new_account("1", "--prepaid", limit, most)
        reply = ask(gateway, key, body())
        assert reply.status == 200
        assert event_of(gateway, account, reply)["amount"] == money.spelled(COST)
        refused = ask(gateway, key, body())
        assert (refused.status, refused.headers["x-tollgate-code"]) == (429, code), refused


def test_what_stays_within_its_hold_raises_no_alarm(gateway: Served, upstream: Upstream) -> None:
    account, key = gateway.new_account("0.002")
    upstream.respond = lambda call: call.complete("a few", (5, CAP))
    reply = ask(gateway, key, body())
    assert event_of(gateway, account, reply)["outcome"] == "complete"
    assert not alarms(gateway, reply)
