"""A call that carries an Idempotency-Key may be sent again: it is answered once, and billed once."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import pytest

import money
from repeated import MESSAGES, ONE, PLAIN, REPLAY, STREAM, Gate, ask, check_all_books, check_books, complete, new_key
from repeated import account, forget_script, gateway, scripted  # fixtures
from tollgate import PATIENCE, Dev, Served, run, wait_until
from upstream import Call, Upstream
from wire import Reply


# --- once answered

def test_a_repeated_call_is_answered_from_store_with_the_same_bytes(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    first, again, third = (ask(gateway, key, PLAIN, fields) for _ in range(3))
    assert first.status == 200 and REPLAY not in first.headers
    for repeated in (again, third):
        assert repeated.status == 200 and repeated.body == first.body and repeated.headers[REPLAY] == "true"
        for header in ("x-request-id", "content-type", "x-tollgate-cost", "x-tollgate-receipt"):
            assert repeated.headers[header] == first.headers[header]
    assert len(scripted.calls) == 1
    (event,) = check_books(gateway, name, 1)
    assert event["request_id"] == first.headers["x-request-id"] and event["amount"] == money.spelled(ONE)


def test_the_sdk_repeats_a_call_and_pays_once(gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    with closing(gateway.client(key)) as client:
        answers = [client.chat.completions.create(model="demo/scripted", messages=MESSAGES,
                                                  extra_headers={"Idempotency-Key": "invoice 4711".replace(" ", "-")})
                   for _ in range(2)]
    assert answers[0] == answers[1] and answers[0].choices[0].message.content == "an answer"
    assert len(scripted.calls) == 1
    check_books(gateway, name, 1)


def test_without_the_header_every_call_is_its_own_and_nothing_is_stored(gateway: Served, account: tuple[str, str]) -> None:
    name, key = account
    assert [ask(gateway, key, PLAIN).status for _ in range(2)] == [200, 200]
    check_books(gateway, name, 2)
    assert f":idem:{name}:" not in gateway.redis.command("--scan", "--pattern", "*idem*")


def test_a_repetition_needs_no_credit(gateway: Served) -> None:
    account, key = gateway.new_account("0.033")             # covers one call's hold, not two calls' cost and hold
    fields = new_key()
    assert ask(gateway, key, PLAIN, fields).status == 200
    gateway.settle_down(account)
    gateway.cli("account", "credit", account, "-0.0329")
    assert ask(gateway, key, PLAIN).status == 402
    assert ask(gateway, key, PLAIN, fields).headers[REPLAY] == "true"


def test_another_request_under_the_same_key_gets_422_and_no_retry(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    assert ask(gateway, key, PLAIN, fields).status == 200
    with closing(gateway.client(key, max_retries=2)) as client, pytest.raises(openai.UnprocessableEntityError) as raised:
        client.chat.completions.create(model="demo/scripted", messages=[{"role": "user", "content": "other"}],
                                       extra_headers=fields)
    assert raised.value.code == "idempotency_key_reused"
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert len(scripted.calls) == 1
    check_books(gateway, name, 1)


def test_keys_belong_to_an_account_and_not_to_an_api_key(gateway: Served, account: tuple[str, str]) -> None:
    name, key = account
    other_name, other_key = gateway.new_account("1")
    second_key = gateway.cli_one("key", "create", name)["secret"]
    fields = new_key()
    first = ask(gateway, key, PLAIN, fields)
    assert ask(gateway, second_key, PLAIN, fields).body == first.body
    assert REPLAY not in ask(gateway, other_key, PLAIN, fields).headers
    check_books(gateway, name, 1)
    check_books(gateway, other_name, 1)


@pytest.mark.parametrize("value", ["", "x" * 256, "a b", "schl\u00fcssel", "a\tb"], ids=["empty", "long", "blank", "letters", "tab"])
def test_a_key_that_can_be_none_is_refused(gateway: Served, account: tuple[str, str], value: str) -> None:
    name, key = account
    with gateway.wire(key) as wire:
        body = json.dumps(PLAIN).encode()
        head = wire.head("POST", "/v1/chat/completions", {"Content-Length": len(body)})
        head = head[:-2] + b"Idempotency-Key: " + value.encode("utf-8") + b"\r\n\r\n"
        reply = wire.ask(head + body)
    assert reply.status == 400 and "Idempotency-Key" in reply.error["message"], reply
    check_books(gateway, name, 0)


def test_two_keys_in_one_request_are_refused(gateway: Served, account: tuple[str, str]) -> None:
    with gateway.wire(account[1]) as wire:
        body = json.dumps(PLAIN).encode()
        head = wire.head("POST", "/v1/chat/completions", {"Content-Length": len(body), **new_key()})
        reply = wire.ask(head[:-2] + b"idempotency-key: 2\r\n\r\n" + body)
    assert reply.status == 400 and "once" in reply.error["message"]


def test_what_is_stored_can_only_be_opened_with_the_key(gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    """Neither the answer nor the key's own text stands in Redis or in the journal, and both go after 24 h."""
    scripted.respond = lambda call: call.complete("a-very-private-answer")
    fields = {"Idempotency-Key": f"a-very-private-key-{uuid.uuid4()}"}
    reply = ask(gateway, account[1], PLAIN, fields)
    (stored,) = gateway.redis.command("--scan", "--pattern", f"*answer:{reply.headers['x-request-id']}").splitlines()
    assert 23 * 3600 < int(gateway.redis.command("TTL", stored)) <= 24 * 3600
    assert int(gateway.redis.command("STRLEN", stored)) > len(reply.body)
    gateway.settle_down(account[0])
    kept = [path for folder in (gateway.state, gateway.redis.folder) for path in folder.rglob("*") if path.is_file()]
    for path in kept:
        with suppress(FileNotFoundError):       # a file may be renamed meanwhile
            assert b"a-very-private" not in path.read_bytes(), path


# --- what is answered without its answer

def test_a_repeated_stream_gets_its_receipt_and_no_sdk_takes_it_for_an_answer(
        gateway: Served, scripted: Upstream, account: tuple[str, str], tmp_path: Path) -> None:
    name, key = account
    fields, sdk_fields = new_key(), new_key()
    with closing(gateway.client(key, max_retries=2)) as client:
        stream = client.chat.completions.create(model="demo/scripted", messages=MESSAGES, stream=True,
                                                extra_headers=sdk_fields)
        assert len(list(stream)) == 3
        repeated = client.chat.completions.create(model="demo/scripted", messages=MESSAGES, stream=True,
                                                  extra_headers=sdk_fields)
        with pytest.raises(openai.APIError, match="answered before") as raised:
            list(repeated)
    assert raised.value.code == "answered_before" and isinstance(raised.value.body, dict)
    assert raised.value.body["receipt"].count(".") == 2

    first = ask(gateway, key, STREAM, fields)
    assert first.events()[-1] == "[DONE]"
    again = ask(gateway, key, STREAM, fields)
    assert again.status == 200 and again.headers["content-type"] == "text/event-stream" and again.headers[REPLAY] == "true"
    assert again.headers["x-request-id"] == first.headers["x-request-id"]
    assert again.headers["x-tollgate-cost"] == money.spelled(ONE)
    (event,) = again.events()
    error = json.loads(event)["error"]
    assert error["request_id"] == first.headers["x-request-id"]
    (tmp_path / "receipt").write_text(error["receipt"])
    assert gateway.get(again.headers["x-tollgate-receipt"], key) == error["receipt"]
    shown = json.loads(run("receipt", "verify", str(tmp_path / "receipt"), "--json", config=gateway.config, check=True).stdout)
    assert shown["request_id"] == first.headers["x-request-id"]
    assert len(scripted.calls) == 2
    check_books(gateway, name, 2)


def test_an_answer_over_a_mebibyte_is_not_stored_and_its_repetition_gets_the_receipt(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    scripted.respond = lambda call: call.complete("x" * (1 << 20))
    first = ask(gateway, key, PLAIN, fields)
    assert first.status == 200
    again = ask(gateway, key, PLAIN, fields)
    assert again.status == 410 and again.headers[REPLAY] == "true" and again.headers["x-should-retry"] == "false"
    assert again.error["code"] == "answered_before" and again.error["receipt"].count(".") == 2
    fields = new_key()
    with closing(gateway.client(key, max_retries=2)) as client:
        client.chat.completions.create(model="demo/scripted", messages=MESSAGES, extra_headers=fields)
        with pytest.raises(openai.APIStatusError) as raised:
            client.chat.completions.create(model="demo/scripted", messages=MESSAGES, extra_headers=fields)
    assert raised.value.status_code == 410 and raised.value.code == "answered_before"
    assert len(scripted.calls) == 2
    check_books(gateway, name, 2)


def test_an_answer_of_almost_a_mebibyte_is_stored(gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    fields = new_key()
    scripted.respond = lambda call: call.complete("x" * ((1 << 20) - 1000))
    first = ask(gateway, account[1], PLAIN, fields)
    assert ask(gateway, account[1], PLAIN, fields).body == first.body


# --- while the first is open

def test_a_second_call_waits_for_the_first(gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    scripted.respond = gate = Gate(complete)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, gateway, key, PLAIN, fields)
        assert gate.has_come.wait(PATIENCE)
        second = ask(gateway, key, PLAIN, fields)
        assert second.status == 409 and int(second.headers["retry-after"]) >= 1, second
        assert second.headers["x-should-retry"] == "true" and second.error["code"] == "idempotency_key_in_use"
        assert ask(gateway, key, {**PLAIN, "user": "x"}, fields).status == 422
        gate.may_go.set()
        assert first.result().status == 200
    assert ask(gateway, key, PLAIN, fields).body == first.result().body
    assert len(scripted.calls) == 1
    check_books(gateway, name, 1)


def test_the_sdk_waits_for_the_first_by_itself(gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    scripted.respond = gate = Gate(complete)
    refusals: list[int] = []
    with closing(gateway.client(key, max_retries=100)) as client, ThreadPoolExecutor(2) as pool:
        def create() -> Any:
            return client.chat.completions.create(model="demo/scripted", messages=MESSAGES, extra_headers=fields)

        def note(response: Any) -> None:
            refusals.append(response.status_code)

        client._client.event_hooks["response"].append(note)
        first = pool.submit(create)
        assert gate.has_come.wait(PATIENCE)
        second = pool.submit(create)
        wait_until(lambda: 409 in refusals, "the second was told to wait")
        gate.may_go.set()
        assert first.result() == second.result()
    assert len(scripted.calls) == 1
    check_books(gateway, name, 1)


def test_many_at_once_run_once(gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: ask(gateway, key, PLAIN, fields), range(64)))
    assert {reply.status for reply in replies} <= {200, 409}
    answered = [reply for reply in replies if reply.status == 200]
    assert len({reply.body for reply in answered}) == 1 and len(scripted.calls) == 1
    check_books(gateway, name, 1)


# --- when the first failed

def test_a_call_that_failed_can_be_sent_again_at_once(gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    scripted.respond = lambda call: call.reply(500, {"error": {"message": "no"}}) if len(scripted.calls) < 3 else complete(call)
    assert [ask(gateway, key, PLAIN, fields).status for _ in range(4)] == [502, 502, 200, 200]
    assert len(scripted.calls) == 3
    check_books(gateway, name, 1)


def test_a_call_that_was_refused_takes_no_key(gateway: Served, scripted: Upstream) -> None:
    account, key = gateway.new_account("0.000001")
    fields = new_key()
    assert ask(gateway, key, PLAIN, fields).status == 402
    gateway.cli("account", "credit", account, "1")
    assert ask(gateway, key, PLAIN, fields).status == 200
    assert len(scripted.calls) == 1


def test_a_client_that_hung_up_can_ask_again(gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    """Its model was stopped and the call costs nothing, so the second is a new one."""
    name, key = account
    fields = new_key()
    scripted.respond = gate = Gate(lambda call: None)
    with gateway.wire(key) as wire:
        wire.send(wire.chat(PLAIN, fields))
        assert gate.has_come.wait(PATIENCE)
    gate.may_go.set()
    scripted.respond = complete
    wait_until(lambda: ask(gateway, key, PLAIN, fields).status == 200, "the key is free again")
    assert len(scripted.calls) == 2
    events = check_books(gateway, name, 1)
    assert [event["outcome"] for event in events] == ["client_closed", "complete"]


def test_a_client_that_hung_up_on_a_draining_model_gets_the_answer_that_it_paid(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields, body = new_key(), {**PLAIN, "model": "demo/draining"}
    scripted.respond = gate = Gate(complete)
    with gateway.wire(key) as wire:
        wire.send(wire.chat(body, fields))
        assert gate.has_come.wait(PATIENCE)
    assert ask(gateway, key, body, fields).status == 409
    gate.may_go.set()
    again = wait_until(lambda: (reply := ask(gateway, key, body, fields)).status == 200 and reply, "it is answered")
    assert again.headers[REPLAY] == "true" and again.json()["choices"][0]["message"]["content"] == "an answer"
    assert len(scripted.calls) == 1
    check_books(gateway, name, 1)


def test_a_stream_that_was_cut_is_billed_for_its_part_and_the_next_is_a_new_call(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()

    def begin(call: Call) -> None:
        call.begin_stream()
        call.word("one ")
        call.wait_for_hang_up(30)

    scripted.respond = begin
    with gateway.wire(key) as wire:
        wire.send(wire.chat(STREAM, fields))
        reply = Reply()
        for _ in wire.stream(reply):
            if b"one" in reply.body:
                break
    scripted.respond = lambda call: call.stream(["one ", "two"])
    again = wait_until(lambda: (reply := ask(gateway, key, STREAM, fields)).status == 200 and reply, "the key is free again")
    assert again.events()[-1] == "[DONE]" and REPLAY not in again.headers
    events = check_books(gateway, name, 2)
    assert [(event["outcome"], event["units"].get("output_tokens")) for event in events] == [
        ("client_closed", 1), ("complete", 2)]


# --- what is stored, and how long

def test_nothing_is_stored_where_the_operator_does_not_want_it(served: Served, scripted: Upstream) -> None:
    served.backends = {"scripted": {"kind": "openai", "url": scripted.url}}
    served.options = {"stored_answer": "0"}
    served.start().set_up("10", [{"id": "demo/scripted", "backends": [{"name": "scripted", "model": "scripted"}]}])
    fields = new_key()
    assert ask(served, served.key, PLAIN, fields).status == 200
    assert ask(served, served.key, PLAIN, fields).status == 410
    assert served.redis.command("--scan", "--pattern", "*answer:*") == ""
    assert len(scripted.calls) == 1


def test_beyond_what_an_account_may_store_a_repetition_gets_the_receipt(served: Served, scripted: Upstream) -> None:
    served.backends = {"scripted": {"kind": "openai", "url": scripted.url}}
    served.options = {"stored_answers": "4 MiB"}
    served.start().set_up("10", [{"id": "demo/scripted", "backends": [{"name": "scripted", "model": "scripted"}]}])
    scripted.respond = lambda call: call.complete("x" * 900_000)
    keys = [new_key() for _ in range(4)]
    assert [ask(served, served.key, PLAIN, fields).status for fields in keys] == [200] * 4
    again = [ask(served, served.key, PLAIN, fields) for fields in keys]
    assert [reply.status for reply in again] == [200, 200, 410, 410], "half of 4 MiB at once"
    assert all(reply.error["receipt"].count(".") == 2 for reply in again[2:])
    other, key = served.new_account("1")
    assert [ask(served, key, PLAIN, keys[0]).status for _ in range(2)] == [200, 200], "each account has its own share"
    assert len(scripted.calls) == 5
    check_books(served, other, 1)


def test_a_key_is_free_again_after_24_hours(dev: Dev) -> None:
    def at(when: datetime) -> str:
        return when.isoformat(timespec="seconds").replace("+00:00", "Z")

    now = datetime.now(UTC)
    fields = new_key()
    body = {"model": "demo/echo", "messages": [{"role": "user", "content": "a b c"}]}
    dev.start("--clock", at(now + timedelta(minutes=2)))
    first = ask(dev, dev.key, body, fields)
    assert first.status == 200
    dev.restart("--clock", at(now + timedelta(hours=23)))
    again = ask(dev, dev.key, body, fields)
    assert again.headers[REPLAY] == "true" and again.body == first.body
    dev.restart("--clock", at(now + timedelta(hours=25)))
    new = ask(dev, dev.key, body, fields)
    assert new.status == 200 and REPLAY not in new.headers
    assert new.headers["x-request-id"] != first.headers["x-request-id"]
    assert len([event for event in dev.events() if event["amount"] != "0"]) == 2


def test_the_books_of_all_this_add_up(gateway: Served) -> None:
    check_all_books(gateway, more_than=20)
