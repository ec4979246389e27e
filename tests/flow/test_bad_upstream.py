"""Model servers that refuse, break, stall and lie: a clear error, nothing charged that was not handed out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest

import money
from tollgate import DEMO_PRICE, PATIENCE, Served, free_port
from upstream import STREAM_HEAD, Call, Upstream, chunk, sse, usage_chunk
from wire import Reply, content_chunks

MESSAGES: list[Any] = [{"role": "user", "content": "hello upstream"}]
SECRET = "upstream-secret-0123456789"


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served]) -> Iterator[Served]:
    own = serve_for_module("bad-upstream")
    with Upstream() as upstream:
        own.upstream = upstream                                            # type: ignore[attr-defined]
        key_file = own.state.parent / "upstream.key"
        key_file.write_text(SECRET + "\n")
        key_file.chmod(0o600)
        scripted = {"kind": "openai", "url": upstream.url, "key_file": str(key_file), "breaker_failures": 0}
        own.backends = {"scripted": scripted,
                        "hasty": {**scripted, "first_byte_timeout": "900 ms"},
                        "hasty-in-a-stream": {**scripted, "idle_timeout": "900 ms"},
                        "closed": {**scripted, "url": f"http://127.0.0.1:{free_port()}/v1"},
                        "echo": {"kind": "echo"}}
        own.options = {"reply_bytes": "1 MiB"}
        models = [{"id": "demo/scripted", "backends": [{"name": "scripted", "model": "its-own-name"}]},
                  {"id": "demo/hasty", "backends": [{"name": "hasty"}]},
                  {"id": "demo/hasty-in-a-stream", "backends": [{"name": "hasty-in-a-stream"}]},
                  {"id": "demo/closed", "backends": [{"name": "closed"}]},
                  {"id": "demo/second", "backends": [{"name": "closed", "priority": 0}, {"name": "echo", "priority": 1}]}]
        yield own.start().set_up("100", models)


@pytest.fixture
def upstream(gateway: Served) -> Upstream:
    gateway.upstream.calls.clear()                                         # type: ignore[attr-defined]
    return gateway.upstream                                                # type: ignore[attr-defined]


def ask(gateway: Served, *, stream: bool, model: str = "demo/scripted", **more: Any) -> Reply:
    with gateway.wire() as wire:
        return wire.ask(wire.chat({"model": model, "messages": MESSAGES, "stream": stream, **more}))


def model_for(name: str, *, hasty: str = "demo/hasty") -> str:
    """Only who stalls is not waited for."""
    return hasty if name == "stalls" else "demo/scripted"


def event_of(gateway: Served, reply: Reply) -> Any:
    gateway.ship()
    return gateway.get(f"/v1/usage/{reply.headers['x-request-id']}")


def check_free(gateway: Served, reply: Reply, outcome: str = "upstream_error") -> None:
    event = event_of(gateway, reply)
    assert (event["amount"], event["outcome"]) == ("0", outcome), event


# --- before any answer: (what the upstream does, status for the caller, x-tollgate-code)

def refuse(status: int, body: Any = None, **fields: str) -> Callable[[Call], None]:
    error = {"error": {"message": "the upstream's own words", "type": "some_error", "code": "some_code"}}
    return lambda call: call.reply(status, error if body is None else body, **fields)


def stall(call: Call) -> None:
    call.wait_for_hang_up(PATIENCE)


def close_after(text: str) -> Callable[[Call], None]:
    return lambda call: call.send(text)


BEFORE = {
    "resets": (Call.reset, 502, "upstream_broken"),
    "closes": (lambda call: None, 502, "upstream_broken"),
    "stalls": (stall, 504, "upstream_timeout"),
    "answers garbage": (close_after("hello, I am no HTTP server\r\n\r\n"), 502, "upstream_broken"),
    "answers half a head": (close_after("HTTP/1.1 200 OK\r\ncontent-type: applic"), 502, "upstream_broken"),
    "has two lengths": (close_after("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"), 502,
                        "upstream_broken"),
    "has a head of a megabyte": (close_after(f"HTTP/1.1 200 OK\r\nx: {'y' * 1000000}\r\n\r\n"), 502, "upstream_broken"),
    "is over its rate": (refuse(429, retry_after="7"), 429, "upstream_rate_limited"),
    "is unavailable": (refuse(503), 503, "upstream_unreachable"),
    "fails": (refuse(500), 502, "upstream_refused"),
    "does not know our key": (refuse(401), 502, "upstream_refused"),
    "forbids": (refuse(403), 502, "upstream_refused"),
    "has no credit of ours": (refuse(402), 502, "upstream_refused"),
    "redirects": (refuse(302, b"", location="http://127.0.0.1:1/"), 502, "upstream_broken"),
    "refuses what the caller sent": (refuse(400), 400, "upstream_refused"),
    "refuses in a page": (refuse(400, b"<html>no</html>"), 502, "upstream_refused"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("name", BEFORE)
def test_an_upstream_that(gateway: Served, upstream: Upstream, name: str, stream: bool) -> None:
    """... fails before its answer gives a real status and OpenAI's error, and costs nothing."""
    upstream.respond, status, code = BEFORE[name]
    reply = ask(gateway, stream=stream, model=model_for(name))
    assert (reply.status, reply.headers["x-tollgate-code"]) == (status, code), reply
    assert reply.is_whole and reply.error["message"]
    assert SECRET not in str(reply) and upstream.url not in str(reply)
    if status == 400:
        assert reply.error["message"] == "the upstream's own words"
    if name == "is over its rate":
        assert reply.headers["retry-after"] == "7"
    check_free(gateway, reply, "timeout" if status == 504 else "upstream_error")


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_upstream_that_is_not_there_gives_503(gateway: Served, stream: bool) -> None:
    reply = ask(gateway, stream=stream, model="demo/closed")
    assert reply.status == 503 and reply.headers["x-tollgate-code"] == "upstream_unreachable"
    assert int(reply.headers.get("retry-after", 1)) >= 1
    check_free(gateway, reply)


def test_the_next_backend_is_tried_when_the_first_cannot_be_reached(gateway: Served) -> None:
    reply = ask(gateway, stream=True, model="demo/second")
    assert reply.status == 200 and reply.events()[-1] == "[DONE]"
    assert event_of(gateway, reply)["units"] == {"input_tokens": 2, "output_tokens": 2}
    (event,) = [event for event in gateway.events() if event["request_id"] == reply.headers["x-request-id"]]
    assert event["backend"] == "echo"


def test_a_post_that_may_have_been_accepted_is_not_sent_again(gateway: Served, upstream: Upstream) -> None:
    """Neither on a fresh connection nor on one that was used before."""
    for warm in (False, True):
        upstream.respond = lambda call: call.complete("fine") if warm else None
        with gateway.wire() as wire:
            body = {"model": "demo/scripted", "messages": MESSAGES}
            if warm:
                assert wire.ask(wire.chat(body)).status == 200
            upstream.calls.clear()
            upstream.respond = lambda call: None
            assert wire.ask(wire.chat(body)).status == 502
        assert len(upstream.calls) == 1


# --- in the middle of a stream: what was handed out is billed, and no client takes it for whole

def cut(call: Call) -> None:
    call.begin_stream()
    for number in range(5):
        call.word(f"w{number} ")


def cut_in_an_event(call: Call) -> None:
    cut(call)
    call.write(sse(chunk("half"))[:40])


def end_without_finish(call: Call) -> None:
    cut(call)
    call.end_stream()


def reset_in_stream(call: Call) -> None:
    cut(call)
    time.sleep(0.2)
    call.reset()


def stall_in_stream(call: Call) -> None:
    """All at once: whoever waits for the next word soon gives up."""
    words = [sse(chunk(f"w{number} ")) for number in range(5)]
    call.send(STREAM_HEAD + "".join(f"{len(word):x}\r\n{word}\r\n" for word in words))
    call.wait_for_hang_up(PATIENCE)


def garbage_in_stream(call: Call) -> None:
    cut(call)
    call.write("data: this is no JSON\n\n")
    call.end_stream()


def garbage_framing(call: Call) -> None:
    cut(call)
    call.send("zz\r\nnonsense\r\n")
    call.wait_for_hang_up(PATIENCE)


def error_event(call: Call) -> None:
    cut(call)
    call.event({"error": {"message": "out of memory", "type": "server_error", "code": 500}})
    call.end_stream()


def named_error_event(call: Call) -> None:
    cut(call)
    call.write('event: error\ndata: {"message":"out of memory"}\n\n')
    call.end_stream()


IN_STREAM = {"cuts it": cut, "cuts it in an event": cut_in_an_event, "ends it without finish": end_without_finish,
             "resets": reset_in_stream, "stalls": stall_in_stream, "sends garbage": garbage_in_stream,
             "breaks the framing": garbage_framing, "sends an error": error_event, "sends a named error": named_error_event}


@pytest.mark.parametrize("name", IN_STREAM)
def test_a_stream_that_its_upstream(gateway: Served, upstream: Upstream, name: str) -> None:
    """... breaks is billed for the chunks that were handed out, and raises in the SDK."""
    upstream.respond = IN_STREAM[name]
    raw = gateway.client().chat.completions.with_raw_response.create(
        model=model_for(name, hasty="demo/hasty-in-a-stream"), messages=MESSAGES, stream=True)
    seen = 0
    with pytest.raises(openai.APIError) as caught:
        for part in raw.parse():
            seen += bool(part.choices and part.choices[0].delta.content)
    assert seen == 5
    assert str(caught.value)
    gateway.ship()
    event = gateway.get(f"/v1/usage/{raw.headers['x-request-id']}")
    assert event["outcome"] == ("timeout" if name == "stalls" else "upstream_error")
    assert event["units"]["output_tokens"] == 5 and event["provenance"]["output_tokens"] == "counted"
    assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))


@pytest.mark.parametrize("name", IN_STREAM)
def test_no_done_is_seen_by_a_raw_client_when_its_upstream(gateway: Served, upstream: Upstream, name: str) -> None:
    upstream.respond = IN_STREAM[name]
    reply = ask(gateway, stream=True, model=model_for(name, hasty="demo/hasty-in-a-stream"))
    assert "[DONE]" not in reply.events()
    errors = [event for event in reply.events() if "error" in json.loads(event)]
    assert errors or not reply.is_whole, "it looks like a whole answer"


# --- odd but good

def test_a_stream_without_done_after_its_finish_is_whole(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = lambda call: call.stream(["a ", "b"], done=False)
    reply = ask(gateway, stream=True)
    assert reply.is_whole and content_chunks(reply.events()) == 2
    assert event_of(gateway, reply)["units"] == {"input_tokens": 3, "output_tokens": 2}


@pytest.mark.parametrize("wanted", [False, True], ids=["not asked for", "asked for"])
def test_usage_that_is_split_anywhere_is_read(gateway: Served, upstream: Upstream, wanted: bool) -> None:
    """Every byte in a chunk and a packet of its own, CRLF line ends, comments and blanks between."""
    def respond(call: Call) -> None:
        call.begin_stream()
        text = ": ping\r\n\r\n" + sse(chunk("a ")) + ":\n\n" + sse(chunk("b", "stop")) + \
            sse(usage_chunk((1234, 56))) + "data: [DONE]\n\n"
        for byte in text:
            call.write(byte)
        call.end_stream()
    upstream.respond = respond
    reply = ask(gateway, stream=True, **({"stream_options": {"include_usage": True}} if wanted else {}))
    assert reply.is_whole and reply.events()[-1] == "[DONE]" and content_chunks(reply.events()) == 2
    assert event_of(gateway, reply)["units"] == {"input_tokens": 1234, "output_tokens": 56}
    assert sum('"usage"' in event and "1234" in event for event in reply.events()) == wanted
    assert upstream.calls[-1].json["stream_options"]["include_usage"] is True


@pytest.mark.parametrize("usage,units", [
    ({"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 6},
      "completion_tokens_details": {"reasoning_tokens": 3}},
     {"input_tokens": 4, "cached_input_tokens": 6, "output_tokens": 1, "reasoning_tokens": 3}),
    ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, {"input_tokens": 0, "output_tokens": 0}),
])
def test_usage_becomes_disjoint_units_and_zero_is_a_value(
        gateway: Served, upstream: Upstream, usage: dict[str, Any], units: dict[str, int]) -> None:
    for stream in (False, True):
        upstream.respond = lambda call: call.stream(["a"], usage) if call.json["stream"] else call.complete("a", usage)
        reply = ask(gateway, stream=stream)
        event = event_of(gateway, reply)
        assert {unit: count for unit, count in event["units"].items() if count or unit in units} == units
        assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, units))


def test_missing_usage_is_counted_or_estimated_and_says_so(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = lambda call: call.stream(["a ", "b ", "c"], None) if call.json["stream"] else \
        call.complete("eight characters and more", None)
    streamed = event_of(gateway, ask(gateway, stream=True))
    assert streamed["units"]["output_tokens"] == 3 and streamed["provenance"]["output_tokens"] == "counted"
    plain = event_of(gateway, ask(gateway, stream=False))
    assert plain["provenance"] == {"input_tokens": "estimated", "output_tokens": "estimated"}
    assert plain["units"]["output_tokens"] > 0 and plain["amount"] != "0"


def plain(*messages: dict[str, Any]) -> dict[str, Any]:
    """An answer that states no usage."""
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "scripted", "choices": [
        {"index": number, "finish_reason": "stop", "message": {"role": "assistant", **message}}
        for number, message in enumerate(messages)]}


@pytest.mark.parametrize("messages,tokens", [
    ([{"content": "x" * 20000}], 10),
    ([{"content": "x" * 24}, {"content": ""}], 6),
    ([{"content": ""}, {"content": "x" * 24}], 6),
    ([{"content": "x" * 16}, {"content": "x" * 24}], 10),
    ([{"content": "\u4e2d" * 8}], 6),
    ([{"content": None, "function_call": {"name": "aaaa", "arguments": "x" * 16}}], 5),
    ([{"content": None, "tool_calls": [{"id": "call_1", "type": "custom", "custom": {"name": "aaaa", "input": "x" * 16}}]}], 5),
    ([{"content": [{"type": "text", "text": "x" * 16}]}], 4),
    ([{"content": None, "audio": {"id": "audio_1", "data": "A" * 12, "transcript": "x" * 8}}], 5),
], ids=["above its cap", "long and short", "short and long", "both", "escapes", "function", "custom", "parts", "audio"])
def test_an_estimate_is_of_all_that_was_said_and_never_above_the_cap(
        gateway: Served, upstream: Upstream, messages: list[dict[str, Any]], tokens: int) -> None:
    upstream.respond = lambda call: call.reply(200, plain(*messages))
    event = event_of(gateway, ask(gateway, stream=False, max_tokens=10, n=len(messages)))
    assert (event["units"]["output_tokens"], event["provenance"]["output_tokens"]) == (tokens, "estimated")
    assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))


@pytest.mark.parametrize("stated", [10**18, 1_112_500_000_000, 2**31, -5])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_numbers_that_cannot_be_are_not_believed_and_the_answer_is_charged_all_the_same(
        gateway: Served, upstream: Upstream, stream: bool, stated: int) -> None:
    def respond(call: Call) -> None:
        usage = {"prompt_tokens": stated, "completion_tokens": stated}
        call.stream(["12345678", "a"], usage) if call.json["stream"] else call.complete("12345678", usage)
    upstream.respond = respond
    reply = ask(gateway, stream=stream)
    event = event_of(gateway, reply)
    assert reply.status == 200 and event["outcome"] == "complete"
    assert (event["units"]["output_tokens"], event["provenance"]) == \
        (2, {"input_tokens": "estimated", "output_tokens": "counted" if stream else "estimated"})
    assert event["units"]["input_tokens"] > 0
    assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))
    lines = [json.loads(line) for line in gateway.log_text().splitlines() if line.startswith("{")]
    (alarm,) = [line for line in lines if event["request_id"] in line["text"] and line["event"] == "usage_disbelieved"]
    assert alarm["level"] == "error" and f"backend scripted states {stated} tokens" in alarm["text"]


@pytest.mark.parametrize("delta", [
    {"function_call": {"arguments": "x"}}, {"tool_calls": [{"index": 0, "custom": {"input": "x"}}]},
    {"audio": {"data": "AAAA"}}, {"reasoning_details": [{"text": "x"}]}, {"images": [{"image_url": {"url": "data:x"}}]},
    {"of_next_year": "x"}], ids=lambda delta: next(iter(delta)))
def test_every_kind_of_output_counts_in_a_stream_and_keeps_to_the_cap(
        gateway: Served, upstream: Upstream, delta: dict[str, Any]) -> None:
    def respond(call: Call) -> None:
        call.begin_stream()
        piece = {**chunk(None), "choices": [{"index": 0, "delta": {"role": "assistant", "content": "", **delta}}]}
        call.write("".join(sse(piece) for _ in range(20)))
        call.wait_for_hang_up(PATIENCE)
    upstream.respond = respond
    event = event_of(gateway, ask(gateway, stream=True, max_tokens=10))
    assert (event["outcome"], event["units"]["output_tokens"], event["provenance"]["output_tokens"]) == ("limit", 10, "counted")


def test_a_line_of_twenty_megabytes_passes_and_is_metered(gateway: Served, upstream: Upstream) -> None:
    long = "x" * (20 * 1024 * 1024)

    def respond(call: Call) -> None:
        call.begin_stream()
        call.word(long)
        call.event(chunk(None, "stop"))
        call.event(usage_chunk((3, 7)))
        call.write("data: [DONE]\n\n")
        call.end_stream()
    upstream.respond = respond
    reply = ask(gateway, stream=True)
    assert reply.is_whole and reply.events()[-1] == "[DONE]"
    assert json.loads(reply.events()[0])["choices"][0]["delta"]["content"] == long
    assert event_of(gateway, reply)["units"] == {"input_tokens": 3, "output_tokens": 7}


def test_a_plain_answer_over_the_limit_is_an_error_and_free(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = lambda call: call.complete("x" * (2 * 1024 * 1024))
    reply = ask(gateway, stream=False)
    assert reply.status == 502
    check_free(gateway, reply)


def test_a_plain_answer_that_is_cut_is_an_error_and_free(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = lambda call: call.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"choices\":[")
    reply = ask(gateway, stream=False)
    assert reply.status == 502 and reply.headers["x-tollgate-code"] == "upstream_broken"
    check_free(gateway, reply)


@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b'{"choices":', b"<html>"])
def test_a_plain_answer_that_is_no_answer_is_an_error_and_free(gateway: Served, upstream: Upstream, body: bytes) -> None:
    upstream.respond = lambda call: call.reply(200, body)
    reply = ask(gateway, stream=False)
    assert reply.status == 502 and reply.error["code"] == "upstream_error"
    check_free(gateway, reply)


@pytest.mark.parametrize("fields", [{"content_type": "text/html"}, {"content_type": "text/event-stream"},
                                    {"content_encoding": "gzip"}], ids=["a page", "a stream", "encoded"])
def test_a_plain_answer_that_says_it_is_something_else_is_an_error_and_free(
        gateway: Served, upstream: Upstream, fields: dict[str, str]) -> None:
    good = {"id": "1", "object": "chat.completion", "choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": "stop"}]}
    upstream.respond = lambda call: call.reply(200, good, **fields)
    reply = ask(gateway, stream=False)
    assert (reply.status, reply.headers["x-tollgate-code"]) == (502, "upstream_broken")
    check_free(gateway, reply)


def test_what_is_passed_on_is_the_callers_body_and_none_of_its_credentials(gateway: Served, upstream: Upstream) -> None:
    upstream.respond = lambda call: call.complete("fine")
    body = b'{"messages" : [ {"role":"user","content":"caf\\u00e9 \xc3\xa9 0.1"} ],"temperature":0.1,' \
           b'"model":"demo/scripted","big":12345678901234567890}'
    with gateway.wire() as wire:
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        assert wire.ask(wire.chat(body, {"X-Stainless-Lang": "python", "Cookie": "a=b", "traceparent": trace})).status == 200
    call = upstream.calls[-1]
    assert call.headers["authorization"] == f"Bearer {SECRET}"
    assert gateway.key not in str(call.headers) and "cookie" not in call.headers
    assert b'"content":"caf\\u00e9 \xc3\xa9 0.1"' in call.body, "bytes pass as they came"
    assert b'"temperature":0.1' in call.body and b'"big":12345678901234567890' in call.body
    assert call.json["model"] == "its-own-name"
    assert 4096 in (call.json.get("max_tokens"), call.json.get("max_completion_tokens")), "the cap is set upstream too"


def test_the_accounts_of_all_this_add_up(gateway: Served) -> None:
    gateway.settle_down()
    assert gateway.balance() == 100 - money.total(gateway.events())
