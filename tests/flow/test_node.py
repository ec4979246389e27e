"""The official SDKs for Node against the gateway: one script each (tests/node/), judged by what it says that it saw."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import money
from tollgate import DEMO_PRICE, PATIENCE, SLOWER, TOP, Served
from upstream import Call, Upstream, chunk, usage_chunk

NODE = TOP / "tests" / "node"
WORDS = ["one ", "two ", "three"]
USAGE = (30, 12)
VECTORS = [[0.5, -1.25], [2.0, 0.125]]
TOOL_CALLS = [{"id": f"call_{number}", "type": "function", "function": {"name": "weather", "arguments": json.dumps({"city": city})}}
              for number, city in enumerate(("Köln", "Oslo"))]


class Model:
    """A model server that does what the request's `user` asks for, and is else as one expects."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, call: Call) -> None:
        asked = call.json
        first = asked not in self.calls
        self.calls.append(asked)
        if call.path.endswith("/embeddings"):
            self.embed(call)
        elif asked.get("user") == "busy once" and first:
            call.reply(503, {"error": {"message": "busy"}}, retry_after="1")
        elif asked.get("stream"):
            self.stream(call)
        elif asked.get("tools"):
            call.reply(200, {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage(), "choices": [
                {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": TOOL_CALLS}}]})
        else:
            call.complete("".join(WORDS), USAGE)

    def embed(self, call: Call) -> None:
        packed = call.json.get("encoding_format") == "base64"
        vectors = [base64.b64encode(struct.pack("<2f", *vector)).decode() if packed else vector for vector in VECTORS]
        call.reply(200, {"object": "list", "model": "m", "usage": {"prompt_tokens": 2, "total_tokens": 2}, "data": [
            {"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]})

    def stream(self, call: Call) -> None:
        asked = call.json
        if not asked.get("tools"):
            if asked.get("user") == "breaks off":
                call.begin_stream()
                call.word("one ")
                call.reset()
            else:
                call.stream(WORDS, USAGE)
            return
        call.begin_stream()
        call.event({**chunk(None), "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]})
        for index, tool in enumerate(TOOL_CALLS):
            function: Any = tool["function"]
            whole = function["arguments"]
            for part in ({**tool, "function": {**function, "arguments": whole[:4]}}, {"function": {"arguments": whole[4:]}}):
                call.event({**chunk(None), "choices": [{"index": 0, "delta": {"tool_calls": [{"index": index, **part}]},
                                                        "finish_reason": None}]})
        call.event(chunk(None, "tool_calls"))
        if (asked.get("stream_options") or {}).get("include_usage"):
            call.event(usage_chunk(USAGE))
        call.write("data: [DONE]\n\n")
        call.end_stream()


def usage() -> dict[str, int]:
    return {"prompt_tokens": USAGE[0], "completion_tokens": USAGE[1], "total_tokens": sum(USAGE)}


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served]) -> Iterator[Served]:
    own = serve_for_module("node")
    with Upstream() as upstream:
        own.backends = {"scripted": {"kind": "openai", "url": upstream.url, "breaker_failures": 0}}
        backends = [{"name": "scripted", "model": "its-own-name"}]
        own.upstream = upstream                                            # type: ignore[attr-defined]
        yield own.start().set_up("100", [{"id": "demo/model", "backends": backends},
                                     {"id": "demo/embed", "backends": backends, "surfaces": ["embeddings"]}])


def run_script(gateway: Served, name: str, **environment: str) -> tuple[Any, Model]:
    """What the script saw, and the model server that it met."""
    model = gateway.upstream.respond = Model()                             # type: ignore[attr-defined]
    _, poor = gateway.new_account()
    done = subprocess.run(
        ["node", str(NODE / name)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=PATIENCE * SLOWER,
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(gateway.ca), "POOR_KEY": poor, **environment})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), model


@pytest.mark.parametrize("sdk", ["openai", "openai-6"])
def test_the_openai_sdk_for_node(gateway: Served, sdk: str) -> None:
    seen, model = run_script(gateway, "openai.mjs", SDK=sdk, OPENAI_BASE_URL=f"{gateway.api}/v1", OPENAI_API_KEY=gateway.key)
    plain = seen["plain"]
    assert (plain["text"], plain["usage"]) == ("one two three", usage())
    assert plain["cost"] == money.spelled(money.rate(DEMO_PRICE, {"input_tokens": 30, "output_tokens": 12}))
    assert seen["streamed"] == {"text": "one two three", "usage": usage(), "with_usage": 1}
    for name in ("tools", "tools_streamed"):
        assert seen[name]["reason"] == "tool_calls"
        assert [(call["id"], json.loads(call["function"]["arguments"])) for call in seen[name]["calls"]] == \
            [("call_0", {"city": "Köln"}), ("call_1", {"city": "Oslo"})]
    assert seen["embeddings"]["as_the_sdk_asks"] == seen["embeddings"]["as_floats"] == VECTORS
    assert {call.get("encoding_format") for call in model.calls if "input" in call} == {"base64", "float"}
    assert seen["models"] == {"listed": ["demo/embed", "demo/model"], "one": "demo/model"}
    check_errors(seen["errors"], gateway, code={"unknown_key": "invalid_api_key", "unknown_model": "model_not_found",
                                                "no_credit": "insufficient_quota"})
    assert seen["retries"] == {"text": "one two three", "requests": 2}
    assert seen["repeated"] == {"same": True, "replayed": "true"}
    check_billed(gateway, plain["request_id"])


def test_the_anthropic_sdk_for_node(gateway: Served) -> None:
    seen, model = run_script(gateway, "anthropic.mjs", ANTHROPIC_BASE_URL=gateway.api, ANTHROPIC_API_KEY=gateway.key)
    plain, streamed = seen["plain"], seen["streamed"]
    for answer in (plain, streamed):
        assert [(block["type"], block["text"]) for block in answer["content"]] == [("text", "one two three")]
        assert answer["reason"] == "end_turn"
        assert (answer["usage"]["input_tokens"], answer["usage"]["output_tokens"]) == USAGE
    assert streamed["pieces"] == WORDS
    assert plain["cost"] == money.spelled(money.rate(DEMO_PRICE, {"input_tokens": 30, "output_tokens": 12}))
    for name in ("tools", "tools_streamed"):
        assert seen[name]["reason"] == "tool_use"
        assert [(block["type"], block["id"], block["input"]) for block in seen[name]["content"]] == \
            [("tool_use", "call_0", {"city": "Köln"}), ("tool_use", "call_1", {"city": "Oslo"})]
    assert seen["tool_result"]["content"][0]["text"] == "one two three"
    assert any(said["role"] == "tool" and said["content"] == "rain" for call in model.calls for said in call["messages"])
    assert seen["counted"]["input_tokens"] > 0
    assert seen["models"] == {"listed": ["demo/embed", "demo/model"], "one": "demo/model"}
    check_errors(seen["errors"], gateway, type={"unknown_key": "authentication_error", "unknown_model": "not_found_error",
                                                "no_credit": "billing_error"})
    assert seen["retries"]["content"][0]["text"] == "one two three" and seen["retries"]["requests"] == 2
    check_billed(gateway, plain["request_id"])


STATUSES = {"unknown_key": ("AuthenticationError", 401), "unknown_model": ("NotFoundError", 404),
            "wrong_body": ("BadRequestError", 400)}


def check_errors(errors: Any, gateway: Served, **spelled: dict[str, str]) -> None:
    """Each has its class, its status, the request's id, and the word that its dialect has for it; none was sent twice."""
    for name, (kind, status) in STATUSES.items():
        assert (errors[name]["class"], errors[name]["status"]) == (kind, status), errors[name]
        assert errors[name]["request_id"].startswith("req_"), errors[name]
    for member, words in spelled.items():
        assert {name: errors[name][member] for name in words} == words
    assert errors["no_credit"]["status"] == 402, errors
    assert errors["broken_stream"]["is_api_error"], errors
    assert errors["requests"] == 5


def check_billed(gateway: Served, request_id: str) -> None:
    gateway.settle_down()
    (event,) = [event for event in gateway.events("demo") if event["request_id"] == request_id]
    assert event["outcome"] == "complete" and event["units"] == {"input_tokens": 30, "output_tokens": 12}
    assert gateway.balance() == 100 - money.total(gateway.events("demo"))
