"""The official OpenAI SDK against the gateway, as a client uses it: answers, streams, errors, look-ups."""

from __future__ import annotations

import base64
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import money
import tollgate
from tollgate import DEMO_PRICE, Dev, wait_until
from wire import content_chunks

TEXT = "the quick brown fox jumps over the lazy dog"


def messages(text: str = TEXT) -> list[Any]:
    return [{"role": "system", "content": "you are an echo"}, {"role": "user", "content": text}]


INPUT_WORDS = len("you are an echo".split()) + len(TEXT.split())


@pytest.fixture(scope="module")
def client(gateway: Dev) -> openai.OpenAI:
    return gateway.client()


def event_of(gateway: Dev, request_id: str) -> Any:
    """A call's event, as soon as it is there."""
    def look() -> Any:
        status, body = gateway.try_get(f"/v1/usage/{request_id}")
        assert status in (200, 404), body
        return body if status == 200 else None
    return wait_until(look, f"the usage of {request_id} can be fetched")


def test_a_plain_answer_carries_its_usage_its_cost_and_its_receipt(gateway: Dev, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="demo/echo", messages=messages())
    answer = raw.parse()
    assert answer.choices[0].message.content == TEXT
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model and answer.object == "chat.completion"
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (INPUT_WORDS, 9)
    request_id = raw.headers["x-request-id"]
    event = event_of(gateway, request_id)
    assert event["units"] == {"input_tokens": INPUT_WORDS, "output_tokens": 9}
    assert event["provenance"] == {"input_tokens": "upstream", "output_tokens": "upstream"}
    assert event["outcome"] == "complete"
    assert raw.headers["x-tollgate-cost"] == event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))
    assert raw.headers["x-tollgate-receipt"] == f"/v1/usage/{request_id}/receipt"


def test_a_stream_has_no_usage_for_a_client_that_did_not_ask(gateway: Dev, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="demo/echo", messages=messages(), stream=True)
    chunks = list(raw.parse())
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert all(chunk.usage is None and "usage" not in chunk.model_fields_set for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert event_of(gateway, raw.headers["x-request-id"])["units"] == \
        {"input_tokens": INPUT_WORDS, "output_tokens": 9}


def test_a_stream_ends_with_one_usage_chunk_for_a_client_that_asked(gateway: Dev, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="demo/echo", messages=messages(), stream=True, stream_options={"include_usage": True})
    *chunks, last = list(raw.parse())
    assert last.choices == [] and last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (INPUT_WORDS, 9)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT


def test_a_streams_cost_and_receipt_stand_as_comments_before_its_final_frame(gateway: Dev) -> None:
    with gateway.wire() as wire:
        reply = wire.ask(wire.chat({"model": "demo/echo", "messages": messages(), "stream": True}))
    assert reply.status == 200 and reply.is_whole
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.events()[-1] == "[DONE]" and content_chunks(reply.events()) == 9
    request_id = reply.headers["x-request-id"]
    event = event_of(gateway, request_id)
    assert reply.comments() == [f"x-tollgate-cost: {event['amount']}",
                                f"x-tollgate-receipt: /v1/usage/{request_id}/receipt"]
    assert reply.body.index(b": x-tollgate-receipt") < reply.body.index(b"data: [DONE]")


def test_the_output_cap_is_honoured_and_billed(gateway: Dev, client: openai.OpenAI) -> None:
    for cap in ({"max_tokens": 3}, {"max_completion_tokens": 3}):
        raw = client.chat.completions.with_raw_response.create(model="demo/echo", messages=messages(), **cap)
        answer = raw.parse()
        assert answer.choices[0].message.content.split() == TEXT.split()[:3]
        assert answer.choices[0].finish_reason == "length"
        assert event_of(gateway, raw.headers["x-request-id"])["units"]["output_tokens"] == 3


def test_every_choice_is_billed(gateway: Dev, client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="demo/echo", messages=messages(), n=3)
    assert [choice.message.content for choice in raw.parse().choices] == [TEXT] * 3
    assert event_of(gateway, raw.headers["x-request-id"])["units"]["output_tokens"] == 27
    stream = client.chat.completions.with_raw_response.create(
        model="demo/echo", messages=messages(), n=2, stream=True)
    texts = {0: "", 1: ""}
    for chunk in stream.parse():
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: TEXT, 1: TEXT}
    assert event_of(gateway, stream.headers["x-request-id"])["units"]["output_tokens"] == 18


def test_fifty_calls_at_once_are_each_answered_and_billed_once(gateway: Dev) -> None:
    account, key = gateway.new_account("10")
    client = gateway.client(key)

    def call(number: int) -> tuple[str, int]:
        text = " ".join(["word"] * (number + 1))
        raw = client.chat.completions.with_raw_response.create(model="demo/echo", messages=messages(text),
                                                               stream=number % 2 == 0)
        if number % 2 == 0:
            said = "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse())
        else:
            said = raw.parse().choices[0].message.content
        assert said == text
        return raw.headers["x-request-id"], number + 1

    with ThreadPoolExecutor(50) as pool:
        seen = dict(pool.map(call, range(50)))
    assert len(seen) == 50
    events = gateway.events(account)
    assert {event["request_id"]: event["units"]["output_tokens"] for event in events} == seen
    assert gateway.settle_down(account)["balance"] == money.spelled(10 - money.total(events))


def test_a_stream_that_the_client_aborts_is_billed_for_what_it_was_handed(gateway: Dev, scripted: Any) -> None:
    scripted.respond = lambda call: call.stream((f"w{number} " for number in itertools.count()), pause=0.02)
    raw = gateway.client().chat.completions.with_raw_response.create(
        model="demo/upstream", messages=messages(), stream=True)
    with raw.parse() as stream:
        seen = [chunk for chunk, _ in zip(stream, range(10))]
    event = event_of(gateway, raw.headers["x-request-id"])
    call = scripted.calls[-1]
    wait_until(lambda: call.hung_up_at, "the upstream is hung up on")
    assert event["outcome"] == "client_closed"
    assert len(seen) <= event["units"]["output_tokens"] <= call.sent_chunks
    assert event["provenance"] == {"input_tokens": "estimated", "output_tokens": "counted"}
    # The body that came in, not the one that went on, is what a client can check the estimate by.
    assert 0 < event["units"]["input_tokens"] <= len(call.body) // 4
    assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))


# --- errors


def test_an_unknown_key_is_an_authentication_error(gateway: Dev) -> None:
    nearly = gateway.key[:-1] + ("x" if gateway.key[-1] != "x" else "y")
    for key in ("sk-tg-000000000000-00000000000000000000000000000000", "not a key", nearly):
        with pytest.raises(openai.AuthenticationError) as caught:
            gateway.client(key).chat.completions.create(model="demo/echo", messages=messages())
        assert caught.value.code == "invalid_api_key" and caught.value.request_id
        assert gateway.key not in str(caught.value) and key not in str(caught.value)


def test_an_unknown_model_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="demo/nobody", messages=messages())
    assert caught.value.code == "model_not_found" and "demo/nobody" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("demo/nobody")


GOOD = {"model": "demo/echo", "messages": [{"role": "user", "content": "hello"}]}
WRONG = {
    "nothing": (b"", None),
    "no JSON": (b"hello", None),
    "cut JSON": (json.dumps(GOOD).encode()[:-2], None),
    "two values": (json.dumps(GOOD).encode() * 2, None),
    "an array": (b"[]", None),
    "a comment": (b"{/* */}", None),
    "invalid UTF-8": (b'{"model":"demo/echo","messages":[{"role":"user","content":"\xff"}]}', None),
    "deep nesting": (b'{"model":"demo/echo","messages":' + b"[" * 100000 + b"]" * 100000 + b"}", None),
    "no model": ({"messages": GOOD["messages"]}, "model"),
    "no messages": ({"model": "demo/echo"}, "messages"),
    "model is a number": ({**GOOD, "model": 7}, "model"),
    "model is null": ({**GOOD, "model": None}, "model"),
    "no turns": ({**GOOD, "messages": []}, "messages"),
    "messages is a string": ({**GOOD, "messages": "hello"}, "messages"),
    "stream is a string": ({**GOOD, "stream": "yes"}, "stream"),
    "n is zero": ({**GOOD, "n": 0}, "n"),
    "n is negative": ({**GOOD, "n": -1}, "n"),
    "n is a real": ({**GOOD, "n": 1.5}, "n"),
    "n is huge": ({**GOOD, "n": 10 ** 30}, "n"),
    "max_tokens is a string": ({**GOOD, "max_tokens": "5"}, "max_tokens"),
    "max_tokens is zero": ({**GOOD, "max_tokens": 0}, "max_tokens"),
    "two caps": ({**GOOD, "max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
    "stream_options is an array": ({**GOOD, "stream": True, "stream_options": []}, "stream_options"),
    "two models": (b'{"model":"demo/echo","model":"demo/other","messages":[]}', "model"),
    "two caps of one name": (b'{"model":"demo/echo","messages":[],"max_tokens":5,"max_tokens":6}', "max_tokens"),
}


@pytest.mark.parametrize(("path", "member"), [
    ("/v1/usage?limit=abc", "limit"), ("/v1/usage?limit=0", "limit"), (f"/v1/usage?before={'x' * 999}", "before"),
    ("/api/v1/creator/earnings?period=nov", "period"), ("/api/v1/client/usage?period=nov", "period")])
def test_a_wrong_query_gets_400_that_names_the_member(gateway: Dev, path: str, member: str) -> None:
    is_api = path.startswith("/v1/")
    key = gateway.key if is_api or "client" in path else gateway.ready["creator_token"]
    status, body = gateway.try_get(path, key, gateway.api if is_api else gateway.console)
    assert status == 400 and body["error"]["param"] == member, body
    assert body["error"]["message"].startswith(f"'{member}'"), body


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_body_gets_400_that_names_the_member(gateway: Dev, name: str) -> None:
    body, member = WRONG[name]
    with gateway.wire() as wire:
        reply = wire.ask(wire.chat(body))
        assert reply.status == 400 and reply.error["type"] == "invalid_request_error", reply
        assert reply.error["message"] and reply.error["param"] == member, reply
        assert reply.headers["x-tollgate-code"].startswith("caller_") and reply.headers["x-request-id"]
        again = wire.ask(wire.chat(GOOD))
    assert again.status == 200, "the connection can be used again"


def test_a_member_that_is_null_is_as_if_it_were_not_there(gateway: Dev) -> None:
    body = {**GOOD, "stream": None, "n": None, "max_tokens": None, "max_completion_tokens": 2, "stream_options": None}
    with gateway.wire() as wire:
        reply = wire.ask(wire.chat(body))
    assert reply.status == 200 and reply.json()["usage"]["completion_tokens"] == 1


def test_an_empty_account_is_told_once_and_the_sdk_does_not_retry(gateway: Dev) -> None:
    _, key = gateway.new_account()
    sent: list[Any] = []
    http_client = openai.DefaultHttpxClient(verify=gateway.tls, trust_env=False, event_hooks={"request": [sent.append]})
    client = openai.OpenAI(base_url=f"{gateway.api}/v1", api_key=key, http_client=http_client, max_retries=2)
    for stream in (False, True):
        sent.clear()
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="demo/echo", messages=messages(), stream=stream)
        assert caught.value.status_code == 402 and caught.value.code == "insufficient_quota"
        assert caught.value.response.headers["x-tollgate-code"] == "policy_no_credit"
        assert caught.value.response.headers["x-should-retry"] == "false"
        assert "CNY" in caught.value.message
        assert len(sent) == 1


def test_a_head_a_path_and_a_body_that_are_too_large_have_their_own_statuses(gateway: Dev) -> None:
    too_large = {
        431: ("GET", "/v1/models", {"X-Long": "x" * 17000}),
        414: ("GET", "/v1/models?" + "x" * 9000, {}),
        413: ("POST", "/v1/chat/completions", {"Content-Length": 32 * 1024 * 1024 + 1}),
    }
    for status, (method, path, fields) in too_large.items():
        with gateway.wire() as wire:
            reply = wire.ask(wire.head(method, path, fields))
            assert reply.status == status and reply.error["message"], reply
            assert reply.headers["x-tollgate-code"].startswith("caller_")


def test_an_unknown_path_and_a_wrong_method_say_so(gateway: Dev) -> None:
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", "/chat/completions", 404),
                                 ("GET", "/v1/chat/completions", 405), ("DELETE", "/v1/models", 405)):
        with gateway.wire() as wire:
            reply = wire.ask(wire.head(method, path))
        assert reply.status == status and reply.error["code"], reply


# --- look-ups


def test_models_are_listed_with_price_and_card(gateway: Dev, client: openai.OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert set(listed) == set(gateway.ready["models"]) == {"demo/echo", "demo/upstream"}
    echo = listed["demo/echo"].model_dump()
    assert echo["object"] == "model" and echo["owned_by"] == "demo" and echo["created"] > 0
    assert echo["price"]["units"] == {"input_tokens": "2", "output_tokens": "8"} and echo["price"]["currency"] == "CNY"
    assert isinstance(echo["card"], dict)


def test_a_model_is_found_by_its_id_however_its_slash_is_spelled(gateway: Dev, client: openai.OpenAI) -> None:
    expected = client.models.retrieve("demo/echo").model_dump(exclude_unset=True)
    assert expected["id"] == "demo/echo"
    for path in ("/v1/models/demo/echo", "/v1/models/demo%2Fecho", "/v1/models/demo%2fecho"):
        assert gateway.get(path) == expected


def test_a_key_may_come_as_x_api_key(gateway: Dev) -> None:
    with gateway.wire() as wire:
        fields = {"Authorization": None, "x-api-key": gateway.key}
        assert wire.ask(wire.chat(GOOD, fields)).status == 200
        assert wire.ask(wire.chat(GOOD, {"Authorization": None})).status == 401
        assert wire.ask(wire.chat(GOOD, {**fields, "x-api-key": gateway.key[:-1]})).status == 401


def test_health_needs_no_key(gateway: Dev) -> None:
    for path in ("/healthz", "/readyz"):
        with gateway.wire() as wire:
            reply = wire.ask(wire.head("GET", path, {"Authorization": None}), "GET")
        assert reply.status == 200, reply


def test_usage_and_balance_are_the_callers_own(gateway: Dev) -> None:
    account, key = gateway.new_account("1.5")
    _, other_key = gateway.new_account("1")
    assert gateway.get("/v1/balance", key)["balance"] == "1.5"
    raw = gateway.client(key).chat.completions.with_raw_response.create(model="demo/echo", messages=messages())
    request_id = raw.headers["x-request-id"]
    gateway.ship()
    listed = gateway.get("/v1/usage", key)
    assert [event["request_id"] for event in listed["data"]] == [request_id] and not listed["has_more"]
    assert listed["data"][0] == gateway.get(f"/v1/usage/{request_id}", key)
    assert gateway.get("/v1/balance", key)["balance"] == money.spelled(Decimal("1.5") - money.total(listed["data"]))
    assert gateway.get("/v1/usage", other_key)["data"] == []
    for path in (f"/v1/usage/{request_id}", f"/v1/usage/{request_id}/receipt"):
        assert gateway.try_get(path, other_key)[0] == 404


def test_a_receipt_verifies_offline_and_a_changed_one_does_not(gateway: Dev, client: openai.OpenAI, tmp_path: Path) -> None:
    raw = client.chat.completions.with_raw_response.create(model="demo/echo", messages=messages())
    event = event_of(gateway, raw.headers["x-request-id"])
    receipt: str = gateway.get(raw.headers["x-tollgate-receipt"])
    header, payload, signature = (decode(part) for part in receipt.split("."))
    assert json.loads(header)["alg"] == "EdDSA" and len(signature) == 64
    said = json.loads(payload)
    assert said["request_id"] == event["request_id"] and said["amount"] == event["amount"]
    assert said["units"] == event["units"] and said["price"] == event["price"]
    jwks = gateway.get("/.well-known/tollgate-jwks.json")
    assert json.loads(header)["kid"] in [key["kid"] for key in jwks["keys"]]

    kept = tmp_path / "receipt.jws"
    kept.write_text(receipt)
    assert tollgate.run("receipt", "verify", str(kept), config=gateway.config).returncode == 0
    for place in (len(receipt) // 4, len(receipt) // 2, len(receipt) - 10):
        other = "A" if receipt[place] != "A" else "B"
        kept.write_text(receipt[:place] + other + receipt[place + 1:])
        gateway.refused("receipt", "verify", str(kept))
    for behind in ("\0", " ", "\n\n", "x"):
        kept.write_text(receipt + behind)
        assert "damaged" in gateway.refused("receipt", "verify", str(kept))
    kept.write_text(receipt + "\n")
    assert tollgate.run("receipt", "verify", str(kept), config=gateway.config).returncode == 0


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
