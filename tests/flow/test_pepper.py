"""The pepper is changed as the manual has it, and no key ends: not under running calls, not on two hosts, not for who repeats a call."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest

from load import check_billed
from test_reload import FAST, Caller
from test_webhooks import Receiver, answering, hooked, set_up, spend, wait_delivered
from tollgate import Served, run, wait_until
from wire import Reply

MODELS = [{"id": "demo/fast", "backends": [{"name": "fast"}]}]


@pytest.fixture
def running(served: Served) -> Served:
    served.backends = {"fast": {"kind": "echo"}}
    return served.start().set_up("100", MODELS)


def put(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def announce(host: Served, pepper: str) -> None:
    put(host.state / "pepper.next", pepper)
    host.reload()


def change(host: Served) -> None:
    shutil.copy2(host.state / "pepper", host.state / "pepper.previous")
    (host.state / "pepper.next").rename(host.state / "pepper")
    host.reload()


def forget(host: Served) -> None:
    (host.state / "pepper.previous").unlink()
    host.reload()


def peppers(host: Served) -> dict[str, str]:
    return {key["public_id"]: key["pepper"] for key in host.cli("key", "list")}


def public_id(key: str) -> str:
    return key.split("-")[2]


def new_pepper() -> str:
    return uuid.uuid4().hex + "\n"


def test_calls_on_two_hosts_see_nothing_of_a_new_pepper(running: Served, second: Served) -> None:
    second.join(running).serve().wait_ready()
    creator = running.cli_one("key", "create", "demo", "--creator")["secret"]
    unused = running.cli_one("key", "create", "demo")["secret"]
    clients = list_clients(running, creator)
    callers = [Caller(host, stream=stream) for host in (running, second) for stream in (False, True)]
    for caller in callers:
        caller.start()
    pepper = new_pepper()
    for step in (lambda host: announce(host, pepper), change):
        for host in (running, second):
            step(host)
            wait_for_more(callers)
    wait_until(lambda: peppers(running)[public_id(running.key)] == "in use", "the key that is used has moved")
    clients |= list_clients(running, creator)
    wait_until(lambda: peppers(running)[public_id(creator)] == "in use", "the creator's has moved")
    assert peppers(second)[public_id(unused)] == "previous"
    for host in (running, second):
        forget(host)
        wait_for_more(callers)
    end(callers)
    assert len(clients | list_clients(running, creator)) == 1, "a creator knows its clients by the same names"
    assert peppers(running)[public_id(unused)] == "gone"
    assert running.try_get("/v1/models", unused)[0] == 401
    check_billed(running, "demo", running.key,
                 {reply.headers["x-request-id"] for caller in callers for reply in caller.replies}, 100)


def wait_for_more(callers: list[Caller]) -> None:
    done = [len(caller.replies) for caller in callers]
    wait_until(lambda: all(len(caller.replies) > n for caller, n in zip(callers, done, strict=True)),
               "every client is answered again")


def end(callers: list[Caller]) -> None:
    for caller in callers:
        caller.over.set()
    for caller in callers:
        caller.join()
        assert caller.failure is None, caller.failure
    others = [reply for caller in callers for reply in caller.replies if reply.status != 200 or not reply.is_whole]
    assert not others, others


def list_clients(host: Served, creator: str) -> set[str]:
    with host.wire() as wire:
        assert wire.ask(wire.chat(FAST)).status == 200
    host.ship()
    listed = wait_until(lambda: host.get("/api/v1/creator/events", creator, host.console)["data"], "the creator sees a call")
    return {event["client"] for event in listed}


def ask(host: Served, idempotency_key: str, **body: Any) -> Reply:
    with host.wire() as wire:
        return wire.ask(wire.chat({**FAST, **body}, {"Idempotency-Key": idempotency_key}))


@pytest.mark.parametrize("how_far", [1, 2])
def test_a_repetition_is_known_by_whatever_name_its_call_had(running: Served, how_far: int) -> None:
    before = ask(running, "order-1")
    streamed = ask(running, "order-2", stream=True)
    steps = (lambda host: announce(host, new_pepper()), change)
    for step in steps[:how_far]:
        step(running)
    again = ask(running, "order-1")
    assert again.status == 200 and again.headers["x-tollgate-idempotent-replay"] == "true"
    assert again.body == before.body and again.headers["x-request-id"] == before.headers["x-request-id"]
    assert ask(running, "order-2", stream=True).headers["x-request-id"] == streamed.headers["x-request-id"]
    assert ask(running, "order-1", temperature=0).status == 422
    assert ask(running, "order-3").status == 200
    running.settle_down()
    assert len(running.events("demo")) == 3


def test_a_key_that_is_asked_for_again_stays_the_same(running: Served) -> None:
    words = ("key", "create", "demo", "--op", "op_mine")
    first = running.cli_one(*words)["secret"]
    announce(running, new_pepper())
    assert running.cli_one(*words)["secret"] == first
    change(running)
    assert running.cli_one(*words)["secret"] == first
    running.get("/v1/models", first)
    wait_until(lambda: peppers(running)[public_id(first)] == "in use", "it has moved")
    assert running.cli_one(*words)["secret"] == first
    forget(running)
    running.get("/v1/models", first)
    assert "under a pepper that is no longer there" in running.refused(*words)
    assert len([key for key in peppers(running) if key == public_id(first)]) == 1


def test_a_rotation_that_is_asked_for_again_gives_the_same_key(running: Served) -> None:
    words = ("key", "rotate", public_id(running.key), "--op", "op_rotation")
    first = running.cli_one(*words)["secret"]
    announce(running, new_pepper())
    change(running)
    assert running.cli_one(*words)["secret"] == first
    running.get("/v1/models", first)
    wait_until(lambda: peppers(running)[public_id(first)] == "in use", "it has moved")
    forget(running)
    running.get("/v1/models", first)
    assert "under a pepper that is no longer there" in running.refused(*words)


def test_the_doctor_says_what_a_pepper_beside_is_for(running: Served) -> None:
    announce(running, new_pepper())
    assert any("pepper.next" in said for said in findings(running))
    change(running)
    (said,) = [said for said in findings(running) if "pepper.previous" in said and "keys" in said]
    assert "1 of 1 keys" in said
    running.get("/v1/models")
    wait_until(lambda: any("0 of 1 keys" in said for said in findings(running)), "none needs the earlier one")
    forget(running)
    assert not any("pepper.previous" in said for said in findings(running))


def findings(host: Served) -> list[str]:
    done = run("doctor", "--json", config=host.config)
    return [json.loads(line)["says"] for line in done.stdout.splitlines()]


def test_a_webhooks_secret_is_good_before_during_and_after(served: Served, certificate: tuple[Path, Path]) -> None:
    """Each step is taken while a notice is on its way: tried before it, delivered after it."""
    steps = (lambda: announce(served, new_pepper()), lambda: change(served), lambda: forget(served))
    with Receiver(certificate) as receiver:
        set_up(served, certificate)
        account, key, webhook = hooked(served, receiver, "--budget-month", "1")
        spend(served, key, 6)
        for budget, step in zip(("1", "1.25", "1.5"), steps, strict=True):
            receiver.respond = lambda call: call.reply(503, {})
            cross(served, account, key, budget)
            wait_for_attempt(receiver)
            step()
            wait_for_attempt(receiver)
            receiver.respond = answering()
            wait_delivered(served, webhook)
        cross(served, account, key, "1.75")
        wait_until(lambda: len({call.headers["webhook-id"] for call in list(receiver.calls)}) == 4, "the last one has come", 60)
        calls = receiver.of(webhook["secret"])
        assert len(calls) == len(receiver.calls), "each was signed with the secret that the webhook was made with"
        assert len({(call.headers["webhook-id"], call.body) for call in calls}) == 4, "a notice stays what it was"
        assert {(call.json["data"]["budget"], call.json["data"]["threshold"]) for call in calls} == {
            ("1", 80), ("1.25", 80), ("1.5", 80), ("1.75", 80)}
        words = ("webhook", "create", account, receiver.hook, "--op", webhook["op"])
        assert served.cli_one(*words)["secret"] == webhook["secret"]


def cross(host: Served, account: str, key: str, budget: str) -> None:
    """Two calls bring what is spent to 80 % of the budget. The key is one of the pepper that is in use afterwards."""
    host.cli("account", "limit", account, "--budget-month", budget)
    assert [reply.status for reply in spend(host, key, 2)] == [200, 200]
    wait_until(lambda: peppers(host)[public_id(key)] == "in use", "the key that is used has moved")


def wait_for_attempt(receiver: Receiver) -> None:
    """While it refuses, one follows another."""
    before = len(receiver.calls)
    wait_until(lambda: len(receiver.calls) > before, "a notice is sent", 60)
