"""Who may call what: revoked, expired and foreign keys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from tollgate import Dev, Gateway
from wire import Wire

CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": "hello"}]}
READS = ("/v1/models", "/v1/models/demo/echo", "/v1/usage", "/v1/balance")


@pytest.fixture
def wires(gateway: Dev) -> Iterator[list[Wire]]:
    """Connections enough to have reached every worker."""
    with ExitStack() as stack:
        yield [stack.enter_context(gateway.wire()) for _ in range(12)]


def statuses(wires: list[Wire], key: str) -> set[int]:
    fields = {"Authorization": f"Bearer {key}"}
    found = {wire.ask(wire.chat(CALL, fields)).status for wire in wires}
    for wire, path in zip(wires, READS * 3):
        found.add(wire.ask(wire.head("GET", path, fields), "GET").status)
    return found


def new_key(gateway: Gateway, *options: str) -> tuple[str, str]:
    made = gateway.cli_one("key", "create", "demo", *options)
    return made["public_id"], made["secret"]


TWO_CREDENTIALS = {
    "two of Authorization": {"Authorization": "Bearer {key}", "authorization": "Bearer {other}"},
    "one Authorization twice": {"Authorization": "Bearer {key}", "authorization": "Bearer {key}"},
    "two of x-api-key": {"Authorization": None, "x-api-key": "{key}", "X-Api-Key": "{other}"},
    "one of each": {"Authorization": "Bearer {key}", "x-api-key": "{other}"},
}


@pytest.mark.parametrize("how", TWO_CREDENTIALS)
def test_who_sends_two_credentials_is_refused_whichever_would_count(gateway: Dev, wires: list[Wire], how: str) -> None:
    _, other = gateway.new_account("1")
    for first, second in ((gateway.key, other), (other, gateway.key)):
        fields = {name: value and value.format(key=first, other=second) for name, value in TWO_CREDENTIALS[how].items()}
        chat = wires[0].ask(wires[0].chat(CALL, fields))
        assert chat.status == 400 and chat.error["type"] == "invalid_request_error" and "send" in chat.error["message"], chat
        assert chat.headers["x-tollgate-code"] == "caller_bad_request"
        message = wires[1].ask(wires[1].post("/v1/messages", {**CALL, "max_tokens": 9}, fields))
        assert message.status == 400 and message.json()["type"] == "error", message
        assert message.json()["error"]["type"] == "invalid_request_error"
        assert all(wires[2].ask(wires[2].head("GET", path, fields), "GET").status == 400 for path in READS)


@pytest.mark.parametrize("beside", ["the same", "", "sk-ant-api03-of-another-service"])
def test_what_is_no_other_key_of_this_gateway_may_stand_beside_one(wires: list[Wire], gateway: Dev, beside: str) -> None:
    key = gateway.key if beside == "the same" else beside
    assert wires[0].ask(wires[0].chat(CALL, {"x-api-key": key})).status == 200


def test_a_revoked_key_fails_at_its_next_call_on_every_worker(gateway: Dev, wires: list[Wire]) -> None:
    public_id, key = new_key(gateway)
    assert statuses(wires, key) == {200}
    gateway.cli("key", "revoke", public_id)
    assert statuses(wires, key) == {401}
    assert statuses(wires, gateway.key) == {200}, "the others go on"
    reply = wires[0].ask(wires[0].chat(CALL, {"Authorization": f"Bearer {key}"}))
    assert reply.error["code"] == "invalid_api_key" and reply.headers["x-tollgate-code"] == "caller_key_revoked"
    listed = {line["public_id"]: line["state"] for line in gateway.cli("key", "list")}
    assert listed[public_id] == "revoked"
    assert key not in str(gateway.cli("key", "list")) + gateway.log_text()


def test_an_expired_key_fails(gateway: Dev, wires: list[Wire]) -> None:
    for seconds in (4, 16, 64):         # a slow machine is given more time, until all have called before it ends
        ends = (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)
        _, key = new_key(gateway, "--expires", ends.strftime("%Y-%m-%dT%H:%M:%SZ"))
        before = statuses(wires, key)
        if datetime.now(UTC) < ends:
            break
    assert before == {200}
    time.sleep(max(0.0, (ends - datetime.now(UTC)).total_seconds() + 0.1))
    assert statuses(wires, key) == {401}
    reply = wires[0].ask(wires[0].chat(CALL, {"Authorization": f"Bearer {key}"}))
    assert reply.headers["x-tollgate-code"] == "caller_key_expired"


def test_an_expiry_that_is_past_is_refused(gateway: Dev) -> None:
    assert "future" in gateway.refused("key", "create", "demo", "--expires", "2020-01-01T00:00:00Z")


def test_a_creators_key_opens_earnings_and_nothing_of_clients(gateway: Dev) -> None:
    creator_key = gateway.ready["creator_token"]
    assert creator_key.startswith("ck-tg-")
    assert gateway.get("/api/v1/creator/earnings", creator_key, gateway.console)["creator"] == "demo"
    for path in READS:
        assert gateway.try_get(path, creator_key)[0] == 403, path
    with gateway.wire(creator_key) as wire:
        assert wire.ask(wire.chat(CALL)).status == 403


def test_a_clients_key_does_not_open_earnings(gateway: Dev) -> None:
    path = "/api/v1/creator/earnings"
    assert gateway.try_get(path, gateway.key, gateway.console)[0] == 403
    assert gateway.try_get(path, "ck-tg-000000000000-00000000000000000000000000000000", gateway.console)[0] == 401
    assert gateway.try_get(path, "nothing", gateway.console)[0] == 401


def test_a_creators_revoked_key_opens_nothing(gateway: Dev) -> None:
    made = gateway.cli_one("key", "create", "--creator", "demo")
    earnings = "/api/v1/creator/earnings"
    assert gateway.try_get(earnings, made["secret"], gateway.console)[0] == 200
    gateway.cli("key", "revoke", made["public_id"])
    assert gateway.try_get(earnings, made["secret"], gateway.console)[0] == 401


def test_an_operation_that_is_repeated_counts_once(gateway: Dev) -> None:
    account, _ = gateway.new_account("1")
    for _ in range(3):
        gateway.cli("account", "credit", account, "2.5", "--op", f"op-{account}")
    assert gateway.account_state(account)["balance"] == "3.5"


def failure(wires: list[Wire], key: str, call: dict[str, object] = CALL) -> tuple[int, str, str]:
    """Of a call on every connection: all of them say the same."""
    found = set()
    for wire in wires:
        reply = wire.ask(wire.chat(call, {"Authorization": f"Bearer {key}"}))
        found.add((reply.status, reply.headers["x-tollgate-code"], reply.error["code"]))
    assert len(found) == 1
    return found.pop()


def models(gateway: Dev, key: str) -> list[str]:
    return [model["id"] for model in gateway.get("/v1/models", key)["data"]]


def test_a_key_calls_and_lists_its_models_alone(gateway: Dev, wires: list[Wire]) -> None:
    _, mine = new_key(gateway, "--models", "acme/*,demo/ec*")
    _, others = new_key(gateway, "--models", "acme/*")
    assert statuses(wires, mine) == {200}
    assert models(gateway, mine) == ["demo/echo"] and "demo/echo" in models(gateway, gateway.key)
    assert models(gateway, others) == []
    assert failure(wires, others) == (403, "policy_key_model", "model_not_found")
    assert gateway.try_get("/v1/models/demo/echo", others)[0] == 403


def test_a_key_is_for_its_scopes_alone(gateway: Dev, wires: list[Wire]) -> None:
    _, calls = new_key(gateway, "--scopes", "call")
    _, reads = new_key(gateway, "--scopes", "usage")
    assert failure(wires, reads) == (403, "policy_key_scope", "permission_denied")
    assert gateway.try_get("/v1/balance", reads)[0] == 200
    assert models(gateway, reads) == []
    reply = wires[0].ask(wires[0].chat(CALL, {"Authorization": f"Bearer {calls}"}))
    assert reply.status == 200
    for path in ("/v1/balance", "/v1/usage", f"/v1/usage/{reply.headers['x-request-id']}"):
        status, body = gateway.try_get(path, calls)
        assert status == 403 and "usage" in str(body), path


def test_a_key_is_used_from_its_addresses_alone(gateway: Dev, wires: list[Wire]) -> None:
    _, here = new_key(gateway, "--ips", "10.0.0.0/8,127.0.0.0/8")
    _, elsewhere = new_key(gateway, "--ips", "10.0.0.0/8,2001:db8::/32")
    assert statuses(wires, here) == {200}
    assert failure(wires, elsewhere) == (401, "policy_key_address", "ip_not_authorized")
    reply = wires[0].ask(wires[0].chat(CALL, {"Authorization": f"Bearer {elsewhere}"}))
    assert "127.0.0.1;" in reply.error["message"], "who was turned away learns from where it came"
    assert gateway.try_get("/v1/models", elsewhere)[0] == 401


def test_what_a_key_opens_is_listed_and_checked(gateway: Dev) -> None:
    public_id, _ = new_key(gateway, "--models", "demo/*", "--scopes", "call", "--ips", "127.0.0.1")
    listed = next(line for line in gateway.cli("key", "list") if line["public_id"] == public_id)
    assert (listed["models"], listed["scopes"], listed["ips"]) == (["demo/*"], ["call"], ["127.0.0.1"])
    assert "no scope" in gateway.refused("key", "create", "demo", "--scopes", "admin")
    assert "beyond its prefix" in gateway.refused("key", "create", "demo", "--ips", "10.0.0.1/8")
    assert "no model" in gateway.refused("key", "create", "demo", "--models", "demo/echo,,")
    assert "no calls" in gateway.refused("key", "create", "demo", "--creator", "--models", "demo/*")
