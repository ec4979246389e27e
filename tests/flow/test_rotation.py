"""A key takes another's place, and a key is changed: no call is refused that should not be, and what is spent stays spent."""

from __future__ import annotations

import json
import os
import signal
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from threading import Event
from typing import Any

import pytest

import tollgate
from tollgate import Dev, Gateway, Served, wait_until
from wire import Reply, Wire

CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": "hello"}]}
PRICES = {"dime": {"call": "0.10", "input_tokens": "0", "output_tokens": "0"}}


def new_op() -> str:
    return f"op-{uuid.uuid4().hex[:12]}"


def new_key(gateway: Gateway, *options: str) -> tuple[str, str]:
    made = gateway.cli_one("key", "create", "demo", *options)
    return made["public_id"], made["secret"]


def listed(gateway: Gateway, public_id: str) -> Any:
    return next(line for line in gateway.cli("key", "list") if line["public_id"] == public_id)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def call(wire: Wire, key: str) -> Reply:
    return wire.ask(wire.chat(CALL, {"Authorization": f"Bearer {key}"}))


@pytest.fixture
def wires(gateway: Dev) -> Iterator[list[Wire]]:
    """Connections enough to have reached every worker."""
    with ExitStack() as stack:
        yield [stack.enter_context(gateway.wire()) for _ in range(12)]


def test_no_call_is_refused_while_a_key_is_rotated_and_both_work(gateway: Dev) -> None:
    public_id, key = new_key(gateway)
    is_over = Event()

    def call_on() -> list[int]:
        statuses = []
        with gateway.wire(key) as wire:
            while not is_over.is_set():
                statuses.append(wire.ask(wire.chat(CALL)).status)
            statuses.append(wire.ask(wire.chat(CALL)).status)
        return statuses

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(call_on) for _ in range(4)]
        try:
            made = gateway.cli_one("key", "rotate", public_id)
            with gateway.wire(made["secret"]) as wire:
                assert [wire.ask(wire.chat(CALL)).status for _ in range(5)] == [200] * 5
        finally:
            is_over.set()
        assert {status for one in asked for status in one.result()} == {200}
    old = listed(gateway, public_id)
    assert old["replaced_by"] == made["public_id"] != public_id and made["replaces"] == public_id
    assert old["expires_at"] == made["replaced_until"] and old["state"] == "active"
    assert abs((at(old["expires_at"]) - datetime.now(UTC)).total_seconds() - 86400) < 600
    assert "expires_at" not in listed(gateway, made["public_id"])
    assert key not in gateway.log_text() and made["secret"] not in gateway.log_text()


def test_after_the_grace_the_old_key_has_expired_and_not_before(gateway: Dev, wires: list[Wire]) -> None:
    public_id, key = new_key(gateway)
    assert {call(wire, key).status for wire in wires} == {200}
    made = gateway.cli_one("key", "rotate", public_id, "--grace", "2s")
    until = at(made["replaced_until"])

    def refusal() -> Reply | None:
        reply = call(wires[0], key)
        assert reply.status == 200 or datetime.now(UTC) >= until, "it was refused within its grace"
        return reply if reply.status != 200 else None
    reply = wait_until(refusal, "the old key ends")
    for wire in wires:
        reply = call(wire, key)
        assert reply.status == 401 and reply.error["code"] == "invalid_api_key"
        assert reply.headers["x-tollgate-code"] == "caller_key_expired"
        assert call(wire, made["secret"]).status == 200
    assert gateway.try_get("/v1/models", key)[0] == 401
    assert listed(gateway, public_id)["state"] == "expired"


def test_without_grace_the_old_key_ends_at_its_next_call(gateway: Dev, wires: list[Wire]) -> None:
    public_id, key = new_key(gateway)
    assert {call(wire, key).status for wire in wires} == {200}
    made = gateway.cli_one("key", "rotate", public_id, "--grace", "0")
    assert {call(wire, key).headers["x-tollgate-code"] for wire in wires} == {"caller_key_expired"}
    assert {call(wire, made["secret"]).status for wire in wires} == {200}


def test_the_new_key_opens_what_the_old_one_did_under_the_same_limits(gateway: Dev) -> None:
    public_id, _ = new_key(gateway, "--models", "demo/*", "--scopes", "call", "--ips", "127.0.0.0/8", "--rpm", "1000",
                           "--tpm", "90000", "--budget-day", "1.5", "--budget-month", "20", "--expires",
                           "2099-01-01T00:00:00Z")
    made = gateway.cli_one("key", "rotate", public_id, "--grace", "1h")
    old, new = listed(gateway, public_id), listed(gateway, made["public_id"])
    kept = ("account", "models", "scopes", "ips", "rpm", "tpm", "budget_day", "budget_month")
    assert {name: new[name] for name in kept} == {name: old[name] for name in kept}
    assert new["expires_at"] == "2099-01-01T00:00:00.000Z" and new["state"] == "active"
    again = gateway.cli_one("key", "rotate", made["public_id"], "--expires", "never")
    assert "expires_at" not in listed(gateway, again["public_id"])


def test_an_expiry_that_is_earlier_than_the_grace_stays(gateway: Dev) -> None:
    public_id, _ = new_key(gateway, "--expires", "2099-01-01T00:00:00Z")
    ends = datetime.fromtimestamp(datetime.now(UTC).timestamp() + 3600, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    gateway.cli("key", "update", public_id, "--expires", ends)
    made = gateway.cli_one("key", "rotate", public_id, "--grace", "8000h", "--expires", "never")
    assert at(made["replaced_until"]) == at(ends) == at(listed(gateway, public_id)["expires_at"])


def test_a_rotation_that_is_repeated_gives_the_same_key_and_changes_nothing(gateway: Dev) -> None:
    public_id, _ = new_key(gateway, "--rpm", "7")
    op = new_op()
    made = gateway.cli_one("key", "rotate", public_id, "--grace", "2h", "--op", op)
    gateway.cli("key", "limit", public_id, "--rpm", "9")
    gateway.cli("key", "limit", made["public_id"], "--rpm", "11")
    again = gateway.cli_one("key", "rotate", public_id, "--grace", "2h", "--op", op)
    assert again == {**made, "repeated": True}
    assert (listed(gateway, public_id)["rpm"], listed(gateway, made["public_id"])["rpm"]) == (9, 11)
    for words in (("rotate", public_id, "--grace", "3h"), ("rotate", public_id, "--expires", "2099-01-01T00:00:00Z"),
                  ("limit", public_id, "--rpm", "9"), ("update", made["public_id"], "--models", "demo/*")):
        assert "with other values" in gateway.refused("key", *words, "--op", op), words
    said = gateway.refused("key", "rotate", public_id)
    assert f"was replaced by {made['public_id']} already" in said


def test_what_cannot_be_rotated_is_told_why(gateway: Dev) -> None:
    public_id, _ = new_key(gateway)
    assert "--grace must be" in gateway.refused("key", "rotate", public_id, "--grace", "soon", code=2)
    assert "not in the future" in gateway.refused("key", "rotate", public_id, "--expires", "2020-01-01T00:00:00Z")
    gateway.cli("key", "revoke", public_id)
    assert "has been revoked" in gateway.refused("key", "rotate", public_id)
    assert "there is no key" in gateway.refused("key", "rotate", "00aaaaaaaaaa")
    assert "no public id" in gateway.refused("key", "rotate", "short")


def test_a_creators_key_is_rotated_too(gateway: Dev) -> None:
    old = gateway.cli_one("key", "create", "--creator", "demo")
    made = gateway.cli_one("key", "rotate", old["public_id"], "--grace", "0")
    assert made["creator"] == "demo" and made["secret"].startswith("ck-tg-")
    earnings = "/api/v1/creator/earnings"
    assert gateway.try_get(earnings, old["secret"], gateway.console)[0] == 401
    assert gateway.try_get(earnings, made["secret"], gateway.console)[0] == 200


def test_a_console_that_is_killed_in_between_leaves_a_rotation_done_or_not_begun(dev: Dev) -> None:
    dev.start()
    for _ in range(4):
        public_id, key = new_key(dev)
        op = new_op()
        with ThreadPoolExecutor(1) as pool:
            (console,) = dev.children("console")
            asked = pool.submit(tollgate.run, "key", "rotate", public_id, "--json", "--op", op, config=dev.config)
            os.kill(console, signal.SIGKILL)
            first = asked.result()
        wait_until(lambda was=console: dev.children("console") not in ([], [was]), "the console is started again")
        made = wait_until(lambda: json.loads(tollgate.run("key", "rotate", public_id, "--json", "--op", op,
                                                          config=dev.config).stdout or "null"), "the rotation is done")
        if first.returncode == 0:
            assert json.loads(first.stdout)["secret"] == made["secret"]
        assert listed(dev, public_id)["replaced_by"] == made["public_id"]
        lines = [line for line in dev.cli("key", "list") if line.get("replaced_by") == made["public_id"]]
        assert len(lines) == 1
        with dev.wire() as wire:
            assert call(wire, key).status == call(wire, made["secret"]).status == 200


def test_a_rotation_gives_no_second_budget_also_after_a_rebuild(served: Served) -> None:
    served.backends = {"fast": {"kind": "echo"}}
    served.start().set_up("100", [{"id": "demo/fast", "price": "dime", "backends": [{"name": "fast"}]}], PRICES)
    account, _ = served.new_account("100")
    first = served.cli_one("key", "create", account, "--budget-day", "0.40")
    dime = {**CALL, "model": "demo/fast"}

    def ask(key: str) -> int:
        with served.wire(key) as wire:
            return wire.ask(wire.chat(dime)).status

    assert [ask(first["secret"]), ask(first["secret"])] == [200, 200]
    second = served.cli_one("key", "rotate", first["public_id"])
    assert ask(second["secret"]) == 200
    third = served.cli_one("key", "rotate", second["public_id"])
    assert [ask(third["secret"]), ask(third["secret"])] == [200, 429]
    assert [ask(second["secret"]), ask(first["secret"])] == [429, 429]
    served.settle_down(account)
    events = served.events(account)
    assert [event["key"] for event in events] == [first["public_id"], first["public_id"], second["public_id"],
                                                  third["public_id"]]
    served.cli("journal", "rebuild", "--from-zero")
    served.wait_ready()
    wait_until(lambda: ask(third["secret"]) != 503, "the account's partition admits again")
    assert [ask(key["secret"]) for key in (first, second, third)] == [429, 429, 429]
    assert listed(served, first["public_id"])["replaced_by"] == second["public_id"]
    assert served.balance(account) == Decimal("99.6")


# --- changes of what a key opens


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.headers.get("x-tollgate-code", "")


def test_a_change_of_what_a_key_opens_is_felt_by_the_next_call_on_every_kept_connection(gateway: Dev,
                                                                                      wires: list[Wire]) -> None:
    public_id, key = new_key(gateway)
    good = {(200, "")}
    assert {code(call(wire, key)) for wire in wires} == good
    steps = [(("--models", "acme/*"), {(403, "policy_key_model")}), (("--models", "acme/*,demo/echo"), good),
             (("--scopes", "usage"), {(403, "policy_key_scope")}), (("--scopes", "all"), good),
             (("--ips", "10.0.0.0/8"), {(401, "policy_key_address")}), (("--ips", "127.0.0.0/8"), good),
             (("--models", "all", "--ips", "all"), good)]
    for options, expected in steps:
        gateway.cli("key", "update", public_id, *options)
        assert {code(call(wire, key)) for wire in wires} == expected, options
    assert not {"models", "scopes", "ips"} & set(listed(gateway, public_id))


def test_changes_of_different_lists_all_stand_and_a_repeated_one_sets_nothing_again(gateway: Dev) -> None:
    public_id, _ = new_key(gateway)
    options = {"models": ("--models", "demo/*"), "scopes": ("--scopes", "call"), "ips": ("--ips", "127.0.0.1")}
    op = new_op()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda name: gateway.cli("key", "update", public_id, *options[name]), options))
    now = listed(gateway, public_id)
    assert (now["models"], now["scopes"], now["ips"]) == (["demo/*"], ["call"], ["127.0.0.1"])
    gateway.cli("key", "update", public_id, "--models", "acme/*", "--op", op)
    gateway.cli("key", "update", public_id, "--models", "demo/echo", "--scopes", "all")
    again = gateway.cli_one("key", "update", public_id, "--models", "acme/*", "--op", op)
    assert again["repeated"] is True and again["models"] == ["demo/echo"] and "scopes" not in again
    assert "with other values" in gateway.refused("key", "update", public_id, "--models", "acme/x", "--op", op)


def test_a_key_that_is_given_another_end_feels_it_at_once(gateway: Dev, wires: list[Wire]) -> None:
    public_id, key = new_key(gateway)
    made = gateway.cli_one("key", "rotate", public_id, "--grace", "0")
    assert {code(call(wire, key)) for wire in wires} == {(401, "caller_key_expired")}
    gateway.cli("key", "update", public_id, "--expires", "2099-01-01T00:00:00Z")
    assert {call(wire, key).status for wire in wires} == {200}, "its grace was made longer"
    gateway.cli("key", "update", public_id, "--expires", "never")
    assert "expires_at" not in listed(gateway, public_id)
    assert "not in the future" in gateway.refused("key", "update", made["public_id"], "--expires", "2020-01-01T00:00:00Z")


def test_what_a_key_cannot_be_is_refused(gateway: Dev) -> None:
    public_id, _ = new_key(gateway)
    assert "needs what to change" in gateway.refused("key", "update", public_id, code=2)
    assert "no scope" in gateway.refused("key", "update", public_id, "--scopes", "admin")
    long = ",".join(f"demo/{'m' * 50}{i}" for i in range(40))
    assert "longer than 1500 bytes" in gateway.refused("key", "update", public_id, "--models", long)
    creators = gateway.cli_one("key", "create", "--creator", "demo")["public_id"]
    assert "makes no calls" in gateway.refused("key", "update", creators, "--models", "demo/*")
    gateway.cli("key", "update", creators, "--ips", "127.0.0.1")
    assert listed(gateway, creators)["ips"] == ["127.0.0.1"]
    gateway.cli("key", "revoke", public_id)
    assert "has been revoked" in gateway.refused("key", "update", public_id, "--models", "demo/*")
