"""The official Anthropic SDK against the gateway, in front of a server that speaks OpenAI's chat completions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import anthropic
import httpx2
import pytest

import money
from tollgate import DEMO_PRICE, PATIENCE, SLOWER, Served
from upstream import Call, Upstream, chunk, usage_chunk

ASK: list[Any] = [{"role": "user", "content": "hello"}]
TOOL = {"name": "weather", "description": "what the weather is", "input_schema": {
    "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "number", "maximum": 0.1}}}}


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served]) -> Iterator[Served]:
    own = serve_for_module("anthropic")
    with Upstream() as upstream:
        own.upstream = upstream                                            # type: ignore[attr-defined]
        own.backends = {"scripted": {"kind": "openai", "url": upstream.url, "breaker_failures": 0},
                        "echo": {"kind": "echo"}}
        models = [{"id": "demo/model", "backends": [{"name": "scripted", "model": "its-own-name"}]},
                  {"id": "demo/echo", "backends": [{"name": "echo"}]},
                  {"id": "demo/embed", "backends": [{"name": "scripted"}], "surfaces": ["embeddings"]}]
        yield own.start().set_up("100", models)


@pytest.fixture
def upstream(gateway: Served) -> Upstream:
    own: Upstream = gateway.upstream                                       # type: ignore[attr-defined]
    own.calls.clear()
    return own


def client_of(gateway: Served, **options: Any) -> anthropic.Anthropic:
    http_client = httpx2.Client(verify=gateway.tls, trust_env=False)
    return anthropic.Anthropic(**{"base_url": gateway.api, "api_key": gateway.key, "http_client": http_client,
                                  "max_retries": 0, "timeout": PATIENCE * SLOWER, **options})


@pytest.fixture
def client(gateway: Served) -> anthropic.Anthropic:
    return client_of(gateway)


def event_of(gateway: Served, request_id: str | None) -> Any:
    assert request_id
    gateway.ship()
    return gateway.get(f"/v1/usage/{request_id}")


# --- plain


def test_a_plain_message_is_answered_and_billed(gateway: Served, upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.respond = lambda call: call.complete('a "quoted"\n answer: 中文', (11, 5))
    raw = client.messages.with_raw_response.create(
        model="demo/model", max_tokens=100, messages=ASK, system="be brief", stop_sequences=["END"],
        metadata={"user_id": "u1"}, extra_body={"temperature": 0.1, "top_p": 0.9, "top_k": 5})
    answer = raw.parse()
    (call,) = upstream.calls
    assert call.path == "/v1/chat/completions"
    assert b'"temperature":0.1,' in call.body, "numbers travel as they were written"
    assert call.json == {"model": "its-own-name", "max_tokens": 100, "temperature": 0.1, "top_p": 0.9, "stop": ["END"],
                         "user": "u1", "messages": [{"role": "system", "content": "be brief"},
                                                    {"role": "user", "content": "hello"}]}
    assert answer.type == "message" and answer.role == "assistant" and answer.id.startswith("msg_")
    assert [block.model_dump(exclude_none=True) for block in answer.content] == \
        [{"type": "text", "text": 'a "quoted"\n answer: 中文'}]
    assert answer.stop_reason == "end_turn" and answer.stop_sequence is None
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 5)
    assert raw.headers["request-id"] == raw.headers["x-request-id"]
    event = event_of(gateway, raw.headers["request-id"])
    assert event["units"] == {"input_tokens": 11, "output_tokens": 5} and event["outcome"] == "complete"
    assert raw.headers["x-tollgate-cost"] == event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))


def test_usage_is_in_disjoint_buckets(gateway: Served, upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.respond = lambda call: call.complete("x", {
        "prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 60}, "completion_tokens_details": {"reasoning_tokens": 15}})
    raw = client.messages.with_raw_response.create(model="demo/model", max_tokens=100, messages=ASK)
    usage = raw.parse().usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens, usage.output_tokens) \
        == (40, 60, 0, 20)
    assert event_of(gateway, raw.headers["request-id"])["units"] == \
        {"input_tokens": 40, "cached_input_tokens": 60, "output_tokens": 5, "reasoning_tokens": 15}


@pytest.mark.parametrize(("finish", "stop"), [("stop", "end_turn"), ("length", "max_tokens"), ("content_filter", "refusal"),
                                              ("tool_calls", "tool_use"), ("something new", "end_turn")])
def test_finish_reasons_become_stop_reasons(upstream: Upstream, client: anthropic.Anthropic, finish: str, stop: str) -> None:
    upstream.respond = lambda call: call.reply(200, {"model": "m", "choices": [{"index": 0, "finish_reason": finish, "message": {
        "role": "assistant", "content": "x"}}], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})
    assert client.messages.create(model="demo/model", max_tokens=9, messages=ASK).stop_reason == stop


def test_a_whole_conversation_with_tools_and_images_is_translated(upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.respond = lambda call: call.reply(200, {"model": "m", "choices": [{
        "index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": "I look.", "tool_calls": [
            {"id": "call_2", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln", "days": 0.1}'}},
            {"id": "call_3", "type": "function", "function": {"name": "weather", "arguments": ""}}]}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 9}})
    conversation: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "look:"},
                                     {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                                     {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"},
                                          {"type": "text", "text": "let me see"},
                                          {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Ulm", "days": 0.1}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
                                     {"type": "text", "text": "and Köln?"}]}]
    answer = client.messages.create(model="demo/model", max_tokens=50, messages=conversation, tools=[TOOL],        # type: ignore[list-item]
                                    system=[{"type": "text", "text": "one", "cache_control": {"type": "ephemeral"}},
                                            {"type": "text", "text": "two"}],
                                    tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True})
    (call,) = upstream.calls
    assert b'"maximum":0.1}' in call.body, "a schema is copied as it is"
    said = call.json
    assert said["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]},
        {"role": "user", "content": [{"type": "text", "text": "look:"},
                                     {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                                     {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]},
        {"role": "assistant", "content": "let me see", "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": said["messages"][2]["tool_calls"][0]["function"]["arguments"]}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "rain"}]},
        {"role": "user", "content": "and Köln?"}]
    assert json.loads(said["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"city": "Ulm", "days": 0.1}
    assert said["tools"] == [{"type": "function", "function": {"name": "weather", "description": TOOL["description"],
                                                               "parameters": TOOL["input_schema"]}}]
    assert said["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert said["parallel_tool_calls"] is False
    text, first, second = answer.content
    assert text.type == "text" and text.text == "I look."
    assert first.type == "tool_use" and (first.id, first.name, first.input) == ("call_2", "weather", {"city": "Köln", "days": 0.1})
    assert second.type == "tool_use" and (second.id, second.input) == ("call_3", {})
    assert answer.stop_reason == "tool_use"


@pytest.mark.parametrize(("choice", "becomes"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_tool_choices_are_translated(upstream: Upstream, client: anthropic.Anthropic, choice: Any, becomes: str) -> None:
    upstream.respond = lambda call: call.complete("x")
    client.messages.create(model="demo/model", max_tokens=9, messages=ASK, tools=[TOOL], tool_choice={"type": choice})   # type: ignore[list-item]
    assert upstream.calls[0].json["tool_choice"] == becomes


def test_arguments_that_are_no_json_are_handed_over_as_text(upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.respond = lambda call: call.reply(200, {"model": "m", "choices": [{"finish_reason": "length", "message": {
        "content": None, "tool_calls": [{"id": "c", "function": {"name": "weather", "arguments": '{"city": "K'}}]}}]})
    (block,) = client.messages.create(model="demo/model", max_tokens=9, messages=ASK, tools=[TOOL]).content   # type: ignore[list-item]
    assert block.type == "tool_use" and block.input == {"invalid_json": '{"city": "K'}


# --- streamed


def calls_tools(call: Call) -> None:
    def delta(**parts: Any) -> None:
        call.event({"id": "c", "model": "m", "choices": [{"index": 0, "delta": parts, "finish_reason": None}]})

    call.begin_stream()
    delta(role="assistant", content="")
    delta(reasoning_content="hm")
    for word in ("I ", "look"):
        delta(content=word)
    delta(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}])
    for piece in ('{"ci', 'ty": "Kö', 'ln"}'):
        delta(tool_calls=[{"index": 0, "function": {"arguments": piece}}])
    delta(tool_calls=[{"index": 1, "id": "call_2", "type": "function", "function": {"name": "other", "arguments": "{}"}}])
    call.event(chunk(None, "tool_calls"))
    call.event(usage_chunk((30, 12)))
    call.write("data: [DONE]\n\n")
    call.end_stream()


def test_a_stream_has_the_events_of_anthropic_in_their_order(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = calls_tools
    with gateway.wire() as wire:
        reply = wire.ask(wire.post("/v1/messages", {"model": "demo/model", "max_tokens": 99, "messages": ASK, "stream": True}))
    assert reply.status == 200 and reply.is_whole and reply.headers["request-id"]
    named = [line[7:] for line in reply.body.decode().splitlines() if line.startswith("event: ")]
    events = [json.loads(event) for event in reply.events()]
    assert named == [event["type"] for event in events]
    assert named == ["message_start", "ping",
                     "content_block_start", "content_block_delta", "content_block_stop",
                     "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop",
                     "content_block_start", "content_block_delta", "content_block_delta", "content_block_delta", "content_block_stop",
                     "content_block_start", "content_block_delta", "content_block_stop",
                     "message_delta", "message_stop"]
    assert [event["index"] for event in events if "index" in event] == [0] * 3 + [1] * 4 + [2] * 5 + [3] * 3
    assert events[-2]["delta"]["stop_reason"] == "tool_use"
    assert events[-2]["usage"] == {"input_tokens": 30, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 12}
    assert "[DONE]" not in reply.body.decode()
    event = event_of(gateway, reply.headers["request-id"])
    assert event["units"] == {"input_tokens": 30, "output_tokens": 12}
    assert reply.body.index(b": x-tollgate-receipt") < reply.body.index(b"event: message_delta")
    assert reply.comments()[0] == f"x-tollgate-cost: {event['amount']}"


def test_the_sdk_puts_a_stream_together(gateway: Served, upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.respond = calls_tools
    with client.messages.stream(model="demo/model", max_tokens=99, messages=ASK, tools=[TOOL]) as stream:   # type: ignore[list-item]
        assert "".join(stream.text_stream) == "I look"
        answer = stream.get_final_message()
    thinking, text, first, second = answer.content
    assert thinking.type == "thinking" and thinking.thinking == "hm"
    assert text.type == "text" and text.text == "I look"
    assert first.type == "tool_use" and (first.id, first.name, first.input) == ("call_1", "weather", {"city": "Köln"})
    assert second.type == "tool_use" and (second.id, second.name, second.input) == ("call_2", "other", {})
    assert answer.stop_reason == "tool_use" and (answer.usage.input_tokens, answer.usage.output_tokens) == (30, 12)


def test_the_built_in_model_speaks_it_too(gateway: Served, client: anthropic.Anthropic) -> None:
    with client.messages.stream(model="demo/echo", max_tokens=9, messages=[{"role": "user", "content": "one two three"}]) as stream:
        assert "".join(stream.text_stream) == "one two three"
        answer = stream.get_final_message()
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (3, 3)
    assert client.messages.create(model="demo/echo", max_tokens=2, messages=[{"role": "user", "content": "a b c"}]).stop_reason == "max_tokens"


def test_a_stream_without_usage_is_counted_and_says_what_is_billed(gateway: Served, upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.respond = lambda call: call.stream(["a ", "b ", "c"], None)
    with client.messages.stream(model="demo/model", max_tokens=9, messages=ASK) as stream:
        answer = stream.get_final_message()
    (event,) = [event for event in gateway.events("demo") if event["request_id"] == stream.response.headers["request-id"]]
    assert answer.usage.output_tokens == event["units"]["output_tokens"] == 3
    assert answer.usage.input_tokens == event["units"]["input_tokens"]


@pytest.mark.parametrize("ending", ["breaks off", "reports an error", "is no JSON"])
def test_a_stream_that_breaks_raises_and_bills_what_was_sent(gateway: Served, upstream: Upstream, client: anthropic.Anthropic,
                                                             ending: str) -> None:
    def respond(call: Call) -> None:
        call.begin_stream()
        call.word("one ")
        call.word("two ")
        if ending == "reports an error":
            call.event({"error": {"message": "secret words", "type": "server_error"}})
        elif ending == "is no JSON":
            call.write("data: {oops\n\n")
        call.reset()

    upstream.respond = respond
    with pytest.raises(anthropic.APIStatusError) as caught:
        with client.messages.stream(model="demo/model", max_tokens=99, messages=ASK) as stream:
            list(stream.text_stream)
    assert isinstance(caught.value.body, dict) and caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == "api_error" and "secret words" not in str(caught.value.body)
    event = event_of(gateway, caught.value.response.headers["request-id"])
    assert event["outcome"] == "upstream_error" and event["units"]["output_tokens"] <= 2
    assert event["provenance"]["output_tokens"] == "counted"


# --- errors and refusals


def test_errors_have_anthropics_shape_and_classes(gateway: Served, upstream: Upstream, client: anthropic.Anthropic) -> None:
    _, poor = gateway.new_account()
    ask: Any = {"model": "demo/model", "max_tokens": 9, "messages": ASK}
    cases: list[tuple[anthropic.Anthropic, dict[str, Any], type[anthropic.APIStatusError], int, str]] = [
        (client_of(gateway, api_key="sk-tg-00abcdefghij-" + "x" * 32), {}, anthropic.AuthenticationError, 401, "authentication_error"),
        (client_of(gateway, api_key="nonsense"), {}, anthropic.AuthenticationError, 401, "authentication_error"),
        (client, {"model": "demo/none"}, anthropic.NotFoundError, 404, "not_found_error"),
        (client, {"model": "demo/embed"}, anthropic.NotFoundError, 404, "not_found_error"),
        (client, {"messages": []}, anthropic.BadRequestError, 400, "invalid_request_error"),
        (client, {"max_tokens": 0}, anthropic.BadRequestError, 400, "invalid_request_error"),
        (client_of(gateway, api_key=poor), {}, anthropic.APIStatusError, 402, "billing_error"),
    ]
    for who, change, kind, status, name in cases:
        for stream in (False, True):
            with pytest.raises(kind) as caught:
                who.messages.create(**{**ask, **change, "stream": stream})
            body: Any = caught.value.body
            assert caught.value.status_code == status
            assert body["type"] == "error" and body["error"]["type"] == name and body["error"]["message"]
            assert body["request_id"] == caught.value.response.headers["request-id"]
    assert not upstream.calls


@pytest.mark.parametrize(("status", "becomes", "kind"), [(400, 400, "invalid_request_error"), (429, 429, "rate_limit_error"),
                                                         (500, 502, "api_error"), (401, 502, "api_error"), (503, 503, "api_error")])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_upstreams_refusal_is_translated(gateway: Served, upstream: Upstream, client: anthropic.Anthropic, status: int,
                                            becomes: int, kind: str, stream: bool) -> None:
    upstream.respond = lambda call: call.reply(status, {"error": {"message": 'its "own" words', "type": "t", "code": "c"}})
    with pytest.raises(anthropic.APIStatusError) as caught:
        client.messages.create(model="demo/model", max_tokens=9, messages=ASK, stream=stream)
    body: Any = caught.value.body
    assert (caught.value.status_code, body["type"], body["error"]["type"]) == (becomes, "error", kind)
    assert (body["error"]["message"] == 'its "own" words') == (status == 400)
    assert event_of(gateway, caught.value.response.headers["request-id"])["amount"] == "0"


@pytest.mark.parametrize(("more", "says"), [
    ({"mcp_servers": []}, "mcp_servers"), ({"unheard_of": 1}, "unheard_of"),
    ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools"),
    ({"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}, "messages[0]: content[0]"),
    ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
    ({"messages": [{"role": "user", "content": 7}]}, "content"),
    ({"tool_choice": {"type": "maybe"}}, "tool_choice"),
], ids=str)
def test_what_cannot_be_translated_is_named_and_free(gateway: Served, upstream: Upstream, client: anthropic.Anthropic,
                                                     more: dict[str, Any], says: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(model="demo/model", max_tokens=9, messages=more.get("messages", ASK),
                               extra_body={name: value for name, value in more.items() if name != "messages"})
    assert says in str(caught.value.body)
    assert not upstream.calls
    assert event_of(gateway, caught.value.response.headers["request-id"])["amount"] == "0"


# --- beside the messages


def test_every_way_to_send_the_key_and_every_version_is_taken(gateway: Served) -> None:
    body = {"model": "demo/echo", "max_tokens": 9, "messages": ASK}
    for key in ({"Authorization": f"Bearer {gateway.key}"}, {"Authorization": None, "x-api-key": gateway.key}):
        for version in ({}, {"anthropic-version": "2023-06-01"}, {"anthropic-version": "2026-10-21"}):
            with gateway.wire() as wire:
                assert wire.ask(wire.post("/v1/messages", body, {**key, **version})).status == 200


def test_tokens_are_counted_by_estimate_and_free(gateway: Served, client: anthropic.Anthropic) -> None:
    before = Decimal(gateway.settle_down()["balance"])
    counted = client.messages.count_tokens(model="demo/model", messages=[{"role": "user", "content": "x" * 4000}], system="s")
    assert 1000 <= counted.input_tokens <= 1100 and counted.model_dump()["provenance"] == "estimated"
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model="demo/none", messages=ASK)
    with pytest.raises(anthropic.BadRequestError):
        client.messages.count_tokens(model="demo/model", messages="x")                                  # type: ignore[arg-type]
    assert gateway.balance() == before


def test_models_have_two_shapes_at_one_path(gateway: Served, client: anthropic.Anthropic) -> None:
    assert {model.id for model in client.models.list()} == {"demo/embed", "demo/echo", "demo/model"}
    one = client.models.retrieve("demo/model").model_dump()
    assert one["type"] == "model" and one["display_name"] == "demo/model" and one["created_at"]
    assert one["surfaces"] == ["chat", "messages"] and one["price"]["units"] == {"input_tokens": "2", "output_tokens": "8"}
    assert gateway.get("/v1/models")["object"] == "list"


def test_a_repeated_message_gets_its_stored_answer(gateway: Served, upstream: Upstream, client: anthropic.Anthropic) -> None:
    upstream.respond = lambda call: call.complete("once")
    asks = [client.messages.with_raw_response.create(model="demo/model", max_tokens=9, messages=ASK,
                                                     extra_headers={"Idempotency-Key": "anthropic-1"}) for _ in range(2)]
    assert len(upstream.calls) == 1
    assert asks[0].text() == asks[1].text() and asks[1].headers["x-tollgate-idempotent-replay"] == "true"
    assert asks[0].headers["request-id"] == asks[1].headers["request-id"]
