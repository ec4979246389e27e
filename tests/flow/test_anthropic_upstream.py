"""A server that speaks Anthropic's messages behind both surfaces: its own dialect passes, chat completions are translated."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2
import openai
import pytest

import money
from tollgate import DEMO_PRICE, PATIENCE, SLOWER, Served
from upstream import Call, Upstream

ASK: list[Any] = [{"role": "user", "content": "hello"}]
SECRET = "upstream-secret-0123456789"
TOOL: Any = {"type": "function", "function": {"name": "weather", "description": "of a city", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}}


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served]) -> Iterator[Served]:
    own = serve_for_module("messages-upstream")
    with Upstream() as upstream:
        own.upstream = upstream                                            # type: ignore[attr-defined]
        key_file = own.state.parent / "messages.key"
        key_file.write_text(SECRET + "\n")
        key_file.chmod(0o600)
        own.backends = {"messages": {"kind": "anthropic", "url": upstream.url, "key_file": str(key_file),
                                     "breaker_failures": 0}}
        models = [{"id": "demo/model", "backends": [{"name": "messages", "model": "its-own-name"}], "max_output_tokens": 500}]
        yield own.start().set_up("100", models)


@pytest.fixture
def upstream(gateway: Served) -> Upstream:
    own: Upstream = gateway.upstream                                       # type: ignore[attr-defined]
    own.calls.clear()
    return own


@pytest.fixture
def chat(gateway: Served) -> openai.OpenAI:
    return gateway.client()


@pytest.fixture
def messages(gateway: Served) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.api, api_key=gateway.key, max_retries=0, timeout=PATIENCE * SLOWER,
                               http_client=httpx2.Client(verify=gateway.tls, trust_env=False))


def event_of(gateway: Served, request_id: str | None) -> Any:
    assert request_id
    gateway.ship()
    return gateway.get(f"/v1/usage/{request_id}")


def usage_of(call: Call, **more: Any) -> dict[str, Any]:
    return {"input_tokens": 20, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 9, **more}


UNITS = {"input_tokens": 20, "cache_write_tokens": 3, "cached_input_tokens": 7, "output_tokens": 9}


def say(call: Call, *blocks: Any, stop: str = "end_turn") -> None:
    call.reply(200, {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": list(blocks),
                     "stop_reason": stop, "stop_sequence": None, "usage": usage_of(call)})


def stream(call: Call, *blocks: tuple[dict[str, Any], list[dict[str, Any]]], stop: str = "end_turn", ends: bool = True, resets: bool = True) -> None:
    def event(kind: str, **more: Any) -> None:
        call.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n")

    call.begin_stream()
    event("message_start", message={"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
                                    "stop_reason": None, "stop_sequence": None, "usage": usage_of(call, output_tokens=1)})
    event("ping")
    for index, (block, deltas) in enumerate(blocks):
        event("content_block_start", index=index, content_block=block)
        for delta in deltas:
            event("content_block_delta", index=index, delta=delta)
        event("content_block_stop", index=index)
    if not ends:
        if resets:
            call.reset()
        return
    event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage={"output_tokens": 9})
    event("message_stop")
    call.end_stream()


def text(*pieces: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return {"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in pieces]


def tool(name: str, *pieces: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return ({"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": {}},
            [{"type": "input_json_delta", "partial_json": piece} for piece in pieces])


# --- its own dialect


def test_a_message_passes_as_it_is_but_for_name_and_cap(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = lambda call: say(call, {"type": "text", "text": "hi", "citations": None})
    body = b'{ "max_tokens": 900, "model":"demo/model", "unheard_of": 1e2, "messages": [{"role":"user","content":"x"}] }'
    with gateway.wire() as wire:
        reply = wire.ask(wire.post("/v1/messages", body))
    (call,) = upstream.calls
    assert call.path == "/v1/messages"
    assert call.body == body.replace(b'"demo/model"', b'"its-own-name"').replace(b"900", b"500")
    assert call.headers["x-api-key"] == SECRET and call.headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in call.headers and gateway.key not in str(call.headers)
    assert reply.status == 200 and reply.json()["content"] == [{"type": "text", "text": "hi", "citations": None}]
    event = event_of(gateway, reply.headers["request-id"])
    assert event["units"] == UNITS and event["outcome"] == "complete"
    assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, {"input_tokens": 30, "output_tokens": 9}))


def test_a_stream_of_messages_passes_and_is_billed(gateway: Served, upstream: Upstream, messages: anthropic.Anthropic) -> None:
    upstream.respond = lambda call: stream(call, text("one ", "two"), tool("weather", "", '{"city":', '"Ulm"}'), stop="tool_use")
    with messages.messages.stream(model="demo/model", max_tokens=99, messages=ASK) as answer:
        final = answer.get_final_message()
    said, used = final.content
    assert said.type == "text" and said.text == "one two"
    assert used.type == "tool_use" and used.input == {"city": "Ulm"} and final.stop_reason == "tool_use"
    event = event_of(gateway, answer.response.headers["request-id"])
    assert event["units"] == UNITS and set(event["provenance"].values()) == {"upstream"}
    assert "stream_options" not in upstream.calls[0].json


def test_a_stream_of_messages_that_breaks_off_is_never_whole(gateway: Served, upstream: Upstream, messages: anthropic.Anthropic) -> None:
    upstream.respond = lambda call: stream(call, text("one ", "two "), ends=False)
    with pytest.raises(anthropic.APIStatusError) as caught:
        with messages.messages.stream(model="demo/model", max_tokens=99, messages=ASK) as answer:
            answer.get_final_message()
    event = event_of(gateway, caught.value.response.headers["request-id"])
    assert event["outcome"] == "upstream_error" and event["units"]["output_tokens"] <= 2
    assert event["provenance"]["output_tokens"] == "counted"


# --- chat completions in front of it


@pytest.mark.parametrize("block", [
    {"type": "text", "text": "all at once"}, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"city": "Wien"}},
    {"type": "redacted_thinking", "data": "AAAA"}], ids=lambda block: block["type"])
def test_what_a_block_begins_with_is_counted_when_the_stream_breaks_off(
        gateway: Served, upstream: Upstream, block: dict[str, Any]) -> None:
    upstream.respond = lambda call: stream(call, (block, []), text("one"), ends=False, resets=False)
    with gateway.wire() as wire:
        reply = wire.ask(wire.post("/v1/messages", {"model": "demo/model", "max_tokens": 99, "messages": ASK, "stream": True}))
    event = event_of(gateway, reply.headers["x-request-id"])
    assert (event["outcome"], event["units"]["output_tokens"], event["provenance"]["output_tokens"]) == ("upstream_error", 2, "counted")


@pytest.mark.parametrize("usage", [{}, {"input_tokens": -5, "output_tokens": -5}, {"input_tokens": 10**18, "output_tokens": 10**18}],
                         ids=["none", "below zero", "beyond all"])
def test_a_message_without_numbers_that_can_be_is_estimated_within_its_cap(
        gateway: Served, upstream: Upstream, usage: dict[str, int]) -> None:
    for said, tokens in (("x" * 16, 4), ("\u4e2d" * 4, 3), ("x" * 20000, 10)):
        upstream.respond = lambda call, said=said: call.reply(200, {                # type: ignore[misc]
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "stop_reason": "end_turn",
            "stop_sequence": None, "content": [{"type": "text", "text": said}], "usage": usage})
        with gateway.wire() as wire:
            reply = wire.ask(wire.post("/v1/messages", {"model": "demo/model", "max_tokens": 10, "messages": ASK}))
        event = event_of(gateway, reply.headers["x-request-id"])
        assert (event["outcome"], event["units"]["output_tokens"]) == ("complete", tokens)
        assert set(event["provenance"].values()) == {"estimated"}
        assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))


def test_a_chat_completion_is_translated_and_billed(gateway: Served, upstream: Upstream, chat: openai.OpenAI) -> None:
    upstream.respond = lambda call: say(call, {"type": "text", "text": "hi"})
    raw = chat.chat.completions.with_raw_response.create(
        model="demo/model", messages=[{"role": "system", "content": "be brief"}, *ASK], stop="END", temperature=0.1, seed=7)
    answer = raw.parse()
    assert upstream.calls[0].json == {"model": "its-own-name", "max_tokens": 500, "temperature": 0.1, "stop_sequences": ["END"],
                                      "system": [{"type": "text", "text": "be brief"}],
                                      "messages": [{"role": "user", "content": [{"type": "text", "text": "hello"}]}]}
    assert answer.id.startswith("chatcmpl-") and answer.object == "chat.completion"
    assert answer.choices[0].message.content == "hi" and answer.choices[0].finish_reason == "stop"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (30, 9, 39)
    assert answer.usage.prompt_tokens_details.cached_tokens == 7
    event = event_of(gateway, raw.headers["x-request-id"])
    assert event["units"] == UNITS and event["outcome"] == "complete"


def test_tools_go_there_and_back(upstream: Upstream, chat: openai.OpenAI) -> None:
    upstream.respond = lambda call: say(call, {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ulm"}},
                                        stop="tool_use")
    first = chat.chat.completions.create(model="demo/model", messages=ASK, tools=[TOOL], tool_choice="required")
    (used,) = first.choices[0].message.tool_calls
    assert first.choices[0].finish_reason == "tool_calls" and first.choices[0].message.content is None
    assert (used.id, used.function.name, json.loads(used.function.arguments)) == ("toolu_1", "weather", {"city": "Ulm"})
    assert upstream.calls[0].json["tools"] == [{"name": "weather", "description": "of a city",
                                                "input_schema": TOOL["function"]["parameters"]}]
    assert upstream.calls[0].json["tool_choice"] == {"type": "any"}

    upstream.respond = lambda call: say(call, {"type": "text", "text": "rain"})
    chat.chat.completions.create(model="demo/model", tools=[TOOL], messages=[
        *ASK, first.choices[0].message.model_dump(exclude_none=True), {"role": "tool", "tool_call_id": "toolu_1", "content": "wet"}])
    assert upstream.calls[1].json["messages"][1:] == [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Ulm"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "wet"}]}]


@pytest.mark.parametrize("wanted", [False, True], ids=["without usage", "with usage"])
def test_a_stream_of_chunks_is_made_of_events(gateway: Served, upstream: Upstream, chat: openai.OpenAI, wanted: bool) -> None:
    upstream.respond = lambda call: stream(call, text("one ", "two"), tool("weather", "", '{"ci', 'ty":"Ulm"}'), tool("now", ""),
                                           stop="tool_use")
    more: Any = {"stream_options": {"include_usage": True}} if wanted else {}
    raw = chat.chat.completions.with_raw_response.create(model="demo/model", messages=ASK, stream=True, **more)
    chunks = list(raw.parse())
    if wanted:
        last = chunks.pop()
        assert last.choices == [] and (last.usage.prompt_tokens, last.usage.completion_tokens) == (30, 9)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two"
    arguments = {0: "", 1: ""}
    for chunk in chunks:
        for used in chunk.choices[0].delta.tool_calls or []:
            arguments[used.index] += used.function.arguments
    assert [json.loads(argument) for argument in arguments.values()] == [{"city": "Ulm"}, {}]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    event = event_of(gateway, raw.headers["x-request-id"])
    assert event["units"] == UNITS and event["outcome"] == "complete"


def test_a_stream_of_chunks_that_breaks_off_raises(gateway: Served, upstream: Upstream, chat: openai.OpenAI) -> None:
    upstream.respond = lambda call: stream(call, text("one ", "two "), ends=False)
    raw = chat.chat.completions.with_raw_response.create(model="demo/model", messages=ASK, stream=True)
    with pytest.raises(openai.APIError):
        list(raw.parse())
    event = event_of(gateway, raw.headers["x-request-id"])
    assert event["outcome"] == "upstream_error" and event["units"]["output_tokens"] <= 2


@pytest.mark.parametrize("stream_it", [False, True], ids=["plain", "stream"])
def test_its_refusals_reach_both_sdks_in_their_own_shapes(gateway: Served, upstream: Upstream, chat: openai.OpenAI,
                                                          messages: anthropic.Anthropic, stream_it: bool) -> None:
    upstream.respond = lambda call: call.reply(400, {"type": "error", "request_id": "x", "error": {
        "type": "invalid_request_error", "message": "its own words"}})
    with pytest.raises(openai.BadRequestError, match="its own words") as there:
        chat.chat.completions.create(model="demo/model", messages=ASK, stream=stream_it)
    assert there.value.type == "invalid_request_error"
    with pytest.raises(anthropic.BadRequestError, match="its own words"):
        messages.messages.create(model="demo/model", max_tokens=9, messages=ASK, stream=stream_it)
    upstream.respond = lambda call: call.reply(529, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}})
    with pytest.raises(openai.InternalServerError):
        chat.chat.completions.create(model="demo/model", messages=ASK, stream=stream_it)
    assert SECRET not in gateway.log_text()


def test_what_has_no_place_there_is_refused_and_free(gateway: Served, upstream: Upstream, chat: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'n' must be 1") as caught:
        chat.chat.completions.create(model="demo/model", messages=ASK, n=2)
    assert not upstream.calls and event_of(gateway, caught.value.response.headers["x-request-id"])["amount"] == "0"
