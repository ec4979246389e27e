"""Completions, embeddings and the list of models, as the official SDK asks for them."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import openai
import pytest

import money
from tollgate import DEMO_PRICE, Served
from upstream import Call, Upstream

EMBED_PRICE = {"input_tokens": "0.50"}
VECTOR = [0.25, -1.5, 3.0]


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served]) -> Iterator[Served]:
    own = serve_for_module("surfaces")
    with Upstream() as upstream:
        own.upstream = upstream                                            # type: ignore[attr-defined]
        own.backends = {"scripted": {"kind": "openai", "url": upstream.url}, "echo": {"kind": "echo"}}
        scripted = [{"name": "scripted", "model": "its-own-name"}]
        models = [{"id": "demo/embed", "backends": scripted, "surfaces": ["embeddings"], "price": "embed"},
                  {"id": "demo/write", "backends": scripted, "surfaces": ["completions", "chat"]},
                  {"id": "demo/echo", "backends": [{"name": "echo"}]},
                  {"id": "demo/mixed", "backends": [{"name": "echo", "priority": 1}, {"name": "scripted", "priority": 2}],
                   "surfaces": ["chat", "embeddings"]}]
        yield own.start().set_up("100", models, {"demo": DEMO_PRICE, "embed": EMBED_PRICE})


@pytest.fixture
def upstream(gateway: Served) -> Upstream:
    own: Upstream = gateway.upstream                                       # type: ignore[attr-defined]
    own.calls.clear()
    return own


@pytest.fixture
def client(gateway: Served) -> openai.OpenAI:
    return gateway.client()


def event_of(gateway: Served, raw: Any) -> Any:
    gateway.ship()
    return gateway.get(f"/v1/usage/{raw.headers['x-request-id']}")


def embed(call: Call, tokens: int | None = 7) -> None:
    """What OpenAI's server says: a vector for each input, in the encoding that was asked for."""
    asked = call.json["input"]
    count = len(asked) if isinstance(asked, list) and not isinstance(asked[0], int) else 1
    vector: Any = VECTOR[:call.json.get("dimensions", 3)]
    if call.json.get("encoding_format") == "base64":
        vector = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    usage = {} if tokens is None else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    call.reply(200, {"object": "list", "model": "its-own-name", **usage,
                     "data": [{"object": "embedding", "index": i, "embedding": vector} for i in range(count)]})


# --- embeddings


@pytest.mark.parametrize("asked", ["a text", ["one", "two"], [1, 2, 3], [[1, 2], [3]]],
                         ids=["text", "texts", "tokens", "lists of tokens"])
@pytest.mark.parametrize("encoding", [None, "float", "base64"])
def test_embeddings_pass_and_are_billed_as_input(gateway: Served, upstream: Upstream, client: openai.OpenAI, asked: Any,
                                                 encoding: str | None) -> None:
    """... in whatever encoding, which the SDK chooses to be base64 unless told otherwise."""
    upstream.respond = embed
    more: Any = {"encoding_format": encoding} if encoding else {}
    raw = client.embeddings.with_raw_response.create(model="demo/embed", input=asked, **more)
    answer = raw.parse()
    (call,) = upstream.calls
    assert call.path == "/v1/embeddings"
    assert call.json == {"model": "its-own-name", "input": asked, "encoding_format": encoding or "base64"}
    vectors = [item.embedding for item in answer.data]
    assert len(vectors) == (2 if asked in (["one", "two"], [[1, 2], [3]]) else 1)
    if encoding == "base64":
        assert all(struct.unpack("<3f", base64.b64decode(vector)) == tuple(VECTOR) for vector in vectors)   # type: ignore[arg-type]
    else:
        assert vectors == [VECTOR] * len(vectors)
    event = event_of(gateway, raw)
    assert event["units"] == {"input_tokens": 7} and event["provenance"] == {"input_tokens": "upstream"}
    assert event["outcome"] == "complete"
    assert raw.headers["x-tollgate-cost"] == event["amount"] == money.spelled(money.rate(EMBED_PRICE, event["units"]))


def test_embeddings_may_be_shortened(upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.respond = embed
    assert client.embeddings.create(model="demo/embed", input="x", dimensions=2).data[0].embedding == VECTOR[:2]
    assert upstream.calls[0].json["dimensions"] == 2


def test_embeddings_without_usage_are_estimated(gateway: Served, upstream: Upstream) -> None:
    """... from the body's bytes; output that a server claims for them is not believed."""
    body = b'{"model":"demo/embed","input":"0123456789"}'
    upstream.respond = lambda call: embed(call, None)
    with gateway.wire() as wire:
        reply = wire.ask(wire.post("/v1/embeddings", body))
    event = event_of(gateway, reply)
    assert event["units"] == {"input_tokens": len(body) // 4}
    assert event["provenance"] == {"input_tokens": "estimated"}
    upstream.respond = lambda call: call.reply(200, {"object": "list", "data": [], "usage": {
        "prompt_tokens": 4, "completion_tokens": 9, "total_tokens": 13}})
    with gateway.wire() as wire:
        assert event_of(gateway, wire.ask(wire.post("/v1/embeddings", body)))["units"] == {"input_tokens": 4}


def test_an_upstream_that_refuses_embeddings_costs_nothing(gateway: Served, upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.respond = lambda call: call.reply(400, {"error": {"message": "too long", "type": "invalid_request_error"}})
    with pytest.raises(openai.BadRequestError, match="too long") as caught:
        client.embeddings.create(model="demo/embed", input="x")
    assert event_of(gateway, caught.value.response)["amount"] == "0"


# --- completions


def completion(call: Call, texts: list[str], usage: tuple[int, int] | None = (5, 2)) -> None:
    stated = {} if usage is None else {"usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1],
                                                 "total_tokens": sum(usage)}}
    call.reply(200, {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "its-own-name", **stated,
                     "choices": [{"index": i, "text": text, "finish_reason": "length", "logprobs": None}
                                 for i, text in enumerate(texts)]})


def stream_completion(call: Call, words: list[str], usage: tuple[int, int] | None = (5, 2), choices: int = 1) -> None:
    base = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "its-own-name"}
    call.begin_stream()
    for index in range(choices):
        for word in words:
            call.event({**base, "choices": [{"index": index, "text": word, "finish_reason": None}]})
        call.event({**base, "choices": [{"index": index, "text": "", "finish_reason": "stop"}]})
    if usage is not None:
        call.event({**base, "choices": [], "usage": {"prompt_tokens": usage[0], "completion_tokens": usage[1],
                                                     "total_tokens": sum(usage)}})
    call.write("data: [DONE]\n\n")
    call.end_stream()


def test_a_plain_completion_passes_with_its_usage(gateway: Served, upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.respond = lambda call: completion(call, ["once upon", "twice upon"])
    raw = client.completions.with_raw_response.create(model="demo/write", prompt=["a", "b"], max_tokens=2, suffix="!",
                                                      logprobs=1)
    assert [choice.text for choice in raw.parse().choices] == ["once upon", "twice upon"]
    (call,) = upstream.calls
    assert call.path == "/v1/completions"
    assert call.json == {"model": "its-own-name", "prompt": ["a", "b"], "max_tokens": 2, "suffix": "!", "logprobs": 1}
    event = event_of(gateway, raw)
    assert event["units"] == {"input_tokens": 5, "output_tokens": 2}
    assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))


def test_a_completion_without_a_cap_gets_sixteen_tokens(upstream: Upstream, client: openai.OpenAI) -> None:
    """... as at OpenAI, and not all that the model can write."""
    upstream.respond = lambda call: completion(call, ["x"])
    client.completions.create(model="demo/write", prompt=[1, 2])
    assert upstream.calls[0].json == {"model": "its-own-name", "prompt": [1, 2], "max_tokens": 16}


def test_a_streamed_completion_is_billed_by_its_usage(gateway: Served, upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.respond = lambda call: stream_completion(call, ["once ", "upon"])
    raw = client.completions.with_raw_response.create(model="demo/write", prompt="a", max_tokens=9, stream=True)
    chunks = list(raw.parse())
    assert "".join(chunk.choices[0].text for chunk in chunks) == "once upon"
    assert all(chunk.usage is None for chunk in chunks), "it did not ask for usage"
    assert upstream.calls[0].json["stream_options"] == {"include_usage": True}
    event = event_of(gateway, raw)
    assert event["units"] == {"input_tokens": 5, "output_tokens": 2} and event["outcome"] == "complete"


def test_a_streamed_completion_gives_usage_to_who_asked(upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.respond = lambda call: stream_completion(call, ["x"], choices=2)
    *chunks, last = client.completions.create(model="demo/write", prompt=["a", "b"], max_tokens=9, stream=True,
                                              stream_options={"include_usage": True})
    assert last.choices == [] and last.usage is not None and last.usage.completion_tokens == 2
    assert [chunk.choices[0].index for chunk in chunks] == [0, 0, 1, 1]


def test_a_completion_without_usage_is_counted(gateway: Served, upstream: Upstream, client: openai.OpenAI) -> None:
    upstream.respond = lambda call: stream_completion(call, ["a ", "b ", "c"], None)
    raw = client.completions.with_raw_response.create(model="demo/write", prompt="a", max_tokens=9, stream=True)
    list(raw.parse())
    event = event_of(gateway, raw)
    assert event["units"]["output_tokens"] == 3 and event["provenance"]["output_tokens"] == "counted"


@pytest.mark.parametrize("body", [{}, {"prompt": 7}, {"prompt": "a", "best_of": 2}, {"prompt": ["a"] * 100, "n": 2},
                                  {"prompt": "a", "echo": True, "stream": True}], ids=str)
def test_a_completion_that_cannot_be_bounded_is_refused(gateway: Served, upstream: Upstream, body: dict[str, Any]) -> None:
    with gateway.wire() as wire:
        reply = wire.ask(wire.post("/v1/completions", {"model": "demo/write", **body}))
    assert reply.status == 400 and reply.error["param"] in ("prompt", "best_of", "echo"), reply
    assert not upstream.calls


# --- asked again under one Idempotency-Key


@pytest.mark.parametrize(("path", "body", "respond"), [
    ("/v1/embeddings", {"model": "demo/embed", "input": "one"}, embed),
    ("/v1/completions", {"model": "demo/write", "prompt": "once", "max_tokens": 2}, lambda call: completion(call, ["upon"]))],
    ids=["embeddings", "completions"])
def test_a_repeated_call_gets_the_stored_answer(gateway: Served, upstream: Upstream, path: str, body: dict[str, Any],
                                                respond: Any) -> None:
    upstream.respond = respond
    fields = {"Idempotency-Key": f"again {path}".replace(" ", "-")}
    with gateway.wire() as wire:
        first, again, other = (wire.ask(wire.post(path, {**body, **more}, fields)) for more in ({}, {}, {"user": "x"}))
    assert first.status == again.status == 200 and again.body == first.body
    assert again.headers["x-tollgate-idempotent-replay"] == "true"
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    assert other.status == 422 and len(upstream.calls) == 1
    assert event_of(gateway, again)["amount"] == first.headers["x-tollgate-cost"]


def test_a_repeated_streamed_completion_gets_the_receipt(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = lambda call: stream_completion(call, ["once ", "upon"])
    body = {"model": "demo/write", "prompt": "once", "max_tokens": 2, "stream": True}
    with gateway.wire() as wire:
        first, again = (wire.ask(wire.post("/v1/completions", body, {"Idempotency-Key": "streamed-again"})) for _ in range(2))
    assert first.events()[-1] == "[DONE]" and len(upstream.calls) == 1
    (only,) = again.events()
    error = json.loads(only)["error"]
    assert error["code"] == "answered_before" and error["request_id"] == first.headers["x-request-id"]
    assert error["receipt"].count(".") == 2


# --- what a model serves


@pytest.mark.parametrize(("path", "model"), [("chat/completions", "demo/embed"), ("completions", "demo/echo"),
                                             ("completions", "demo/embed"), ("embeddings", "demo/write")])
def test_a_model_is_called_only_as_its_catalogue_says(gateway: Served, upstream: Upstream, path: str, model: str) -> None:
    bodies = {"chat/completions": {"messages": [{"role": "user", "content": "x"}]}, "completions": {"prompt": "x"},
              "embeddings": {"input": "x"}}
    before = Decimal(gateway.settle_down()["balance"])
    with gateway.wire() as wire:
        reply = wire.ask(wire.post(f"/v1/{path}", {"model": model, **bodies[path]}))
    assert (reply.status, reply.headers["x-tollgate-code"]) == (404, "caller_wrong_surface"), reply
    assert f"/v1/{path}" in reply.error["message"] and reply.error["param"] == "model"
    assert not upstream.calls and gateway.balance() == before


@pytest.mark.parametrize("surface", ["completions", "embeddings"])
def test_a_model_whose_backends_cannot_do_what_it_promises_is_not_applied(gateway: Served, surface: str) -> None:
    file = str(gateway.write_catalogue([{"id": "demo/mistaken", "backends": [{"name": "echo"}], "surfaces": ["chat", surface]}]))
    for how in ((), ("--dry-run",)):
        says = gateway.refused("apply", file, *how)
        assert f"model demo/mistaken: none of its backends can serve {surface}, /v1/{surface} ('echo' is of kind echo)" in says, says
    assert gateway.try_get("/v1/models/demo%2Fmistaken")[0] == 404


def test_one_backend_that_can_is_enough_and_gets_the_calls_that_others_cannot_serve(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = embed
    with gateway.wire() as wire:
        for _ in range(6):              # more than breaker_failures: those that could not take them are not left alone for it
            assert wire.ask(wire.post("/v1/embeddings", {"model": "demo/mixed", "input": "x"})).status == 200
        reply = wire.ask(wire.chat({"model": "demo/mixed", "messages": [{"role": "user", "content": "a b"}]}))
    assert reply.status == 200 and len(upstream.calls) == 6, "the first of its backends takes what it can"


def test_models_say_what_they_serve(client: openai.OpenAI) -> None:
    served = {model.id: model.model_dump()["surfaces"] for model in client.models.list()}
    assert served == {"demo/embed": ["embeddings"], "demo/write": ["chat", "completions", "messages"],
                      "demo/echo": ["chat", "messages"], "demo/mixed": ["chat", "embeddings", "messages"]}
    assert client.models.retrieve("demo/embed").model_dump()["price"]["units"] == {"input_tokens": "0.5"}
