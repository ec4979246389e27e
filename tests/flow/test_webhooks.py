"""Soft limits: each threshold of a budget is told once, signed, whatever dies on the way, and only to whom it may be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from redis_dump import canonical_dump, differences
from tollgate import BINARY, Served, run, wait_until
from upstream import Call, Upstream
from wire import Reply

PRICES = {"dime": {"call": "0.10", "input_tokens": "0", "output_tokens": "0"}}
CALL = {"model": "demo/fast", "messages": [{"role": "user", "content": "a b c"}], "max_completion_tokens": 10}
QUICK = {"webhook_private": True, "webhook_look": "100 ms", "webhook_retry": "20 ms",
         "webhook_retry_longest": "500 ms"}


class Receiver(Upstream):
    """A webhook's receiver over TLS, which keeps what came, in order, and answers as it is told."""

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        super().__init__(tls=context)
        self.respond = lambda call: call.reply(200, {})

    @property
    def hook(self) -> str:
        return self.url.removesuffix("/v1") + "/hooks?from=tollgate"

    def of(self, secret: str) -> list[Call]:
        """What was signed with that secret."""
        return [call for call in list(self.calls) if is_signed(call, secret)]


def is_signed(call: Call, secret: str) -> bool:
    """By the words of the Standard Webhooks specification."""
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.".encode() + call.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return hmac.compare_digest(expected, call.headers["webhook-signature"])


@pytest.fixture(scope="module")
def receiver(certificate: tuple[Path, Path]) -> Iterator[Receiver]:
    with Receiver(certificate) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def host(serve_for_module: Callable[[str], Served], certificate: tuple[Path, Path]) -> Served:
    served = serve_for_module("webhooks")
    return set_up(served, certificate)


def set_up(served: Served, certificate: tuple[Path, Path]) -> Served:
    served.backends = {"fast": {"kind": "echo"}}
    served.options = {**QUICK, "webhook_ca_file": str(certificate[0]), "workers": 1, **served.options}
    return served.start().set_up("1", [{"id": "demo/fast", "price": "dime", "backends": [{"name": "fast"}]}], PRICES)


def spend(host: Served, key: str, calls: int = 1) -> list[Reply]:
    with host.wire(key, 120) as wire:
        return [wire.ask(wire.chat(CALL)) for _ in range(calls)]


def hooked(host: Served, receiver: Receiver, *options: str) -> tuple[str, str, dict[str, Any]]:
    """An account with a webhook: its id, a key, and the webhook as it was answered."""
    account, key = host.new_account("100", "--prepaid", *options)
    return account, key, host.cli_one("webhook", "create", account, receiver.hook)


def heard(receiver: Receiver, secret: str, count: int) -> list[Call]:
    wait_until(lambda: len(receiver.of(secret)) >= count, f"{count} notices have come", 60)
    return receiver.of(secret)


def told(calls: list[Call]) -> list[tuple[str, str, int]]:
    """Each notice once: whose budget, of which window, what threshold."""
    seen = {call.headers["webhook-id"]: call.json["data"] for call in calls}
    return sorted((data["scope"], data["window"], data["threshold"]) for data in seen.values())


def answering(*statuses: int, **fields: str) -> Callable[[Call], None]:
    """Answers with these, one after the other, and then with 200."""
    left = list(statuses)
    return lambda call: call.reply(left.pop(0) if left else 200, {}, **fields)


def state_of(host: Served, webhook: dict[str, Any]) -> Any:
    (state,) = [one for one in host.listed("webhook", "list", webhook["account"]) if one["webhook"] == webhook["webhook"]]
    return state


def wait_delivered(host: Served, webhook: dict[str, Any]) -> Any:
    """Nothing is on its way any more, and something was."""
    def is_done() -> Any:
        state = state_of(host, webhook)
        return state if state["pending"] == 0 and "last" in state else None
    return wait_until(is_done, "everything was delivered", 60)


def tried(host: Served, webhook: dict[str, Any]) -> list[Any]:
    """What `webhook test` prints, whether it was delivered or not."""
    done = run("webhook", "test", webhook["webhook"], "--json", config=host.config)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(autouse=True)
def taken(receiver: Receiver) -> None:
    receiver.respond = answering()


def test_each_threshold_is_told_once_and_signed(host: Served, receiver: Receiver) -> None:
    account, key, webhook = hooked(host, receiver, "--budget-month", "1")
    assert re.fullmatch(r"wh_\d\d[0-9a-z]{10}", webhook["webhook"])
    assert len(base64.b64decode(webhook["secret"].removeprefix("whsec_"))) == 32
    assert [reply.status for reply in spend(host, key, 7)] == [200] * 7
    host.settle_down(account)
    assert [reply.status for reply in spend(host, key)] == [200]
    (call,) = heard(receiver, webhook["secret"], 1)
    assert call.method == "POST" and call.path == "/hooks?from=tollgate"
    assert call.headers["content-type"] == "application/json"
    assert re.fullmatch(r"msg_[0-9a-f]{32}", call.headers["webhook-id"])
    notice = call.json
    assert notice["type"] == "budget.threshold_reached"
    data = notice["data"]
    assert re.fullmatch(r"\d{4}-\d\d", data.pop("period"))
    assert data == {"account": account, "scope": "account", "window": "month", "threshold": 80, "budget": "1",
                    "spent": "0.8", "currency": "CNY"}
    assert [reply.status for reply in spend(host, key, 3)] == [200, 200, 429]
    calls = heard(receiver, webhook["secret"], 3)
    assert [call.json["data"]["threshold"] for call in calls] == [80, 95, 100]
    assert len({call.headers["webhook-id"] for call in calls}) == 3


def test_the_manuals_example_reads_a_notice(host: Served, receiver: Receiver) -> None:
    manual = (Path(__file__).parents[2] / "docs/clients.md").read_text().partition("## Told before")[2]
    (code,) = re.findall(r"^```python\n(.*?)^```$", manual.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)       # noqa: S102 - it is printed for that
    _, _, webhook = hooked(host, receiver)
    host.cli_one("webhook", "test", webhook["webhook"])
    (call,) = heard(receiver, webhook["secret"], 1)
    message_id, notice = names["read_notice"](call.headers, call.body, webhook["secret"])
    assert message_id == call.headers["webhook-id"]
    assert notice["type"] == "webhook.test" and notice["data"]["webhook"] == webhook["webhook"]
    with pytest.raises(ValueError, match="not the gateway's"):
        names["read_notice"](call.headers, call.body + b" ", webhook["secret"])
    names["time"] = type("Later", (), {"time": staticmethod(lambda: time.time() + 301)})
    with pytest.raises(ValueError, match="long ago"):
        names["read_notice"](call.headers, call.body, webhook["secret"])


def test_a_keys_budget_and_a_month_are_told_too(host: Served, receiver: Receiver) -> None:
    account, _, webhook = hooked(host, receiver, "--budget-month", "2")
    made = host.cli_one("key", "create", account, "--budget-day", "1", "--budget-month", "1.25")
    spend(host, made["secret"], 10)
    calls = heard(receiver, webhook["secret"], 4)
    assert told(calls) == [("key", "day", 80), ("key", "day", 95), ("key", "day", 100), ("key", "month", 80)]
    assert {call.json["data"]["key"] for call in calls} == {made["public_id"]}


def test_a_budget_for_one_model_is_told_too(host: Served, receiver: Receiver) -> None:
    account, key, webhook = hooked(host, receiver)
    host.cli("account", "limit", account, "--model", "demo/fast", "--budget-month", "1")
    spend(host, key, 8)
    (call,) = heard(receiver, webhook["secret"], 1)
    data = call.json["data"]
    assert (data["scope"], data["model"], data["window"], data["threshold"], data["budget"], data["spent"]) == (
        "model", "demo/fast", "month", 80, "1", "0.8")


def test_keys_that_were_rotated_spend_together(host: Served, receiver: Receiver) -> None:
    account, _, webhook = hooked(host, receiver)
    old = host.cli_one("key", "create", account, "--budget-month", "1")
    spend(host, old["secret"], 4)
    new = host.cli_one("key", "rotate", old["public_id"])
    spend(host, new["secret"], 4)
    calls = heard(receiver, webhook["secret"], 2)
    assert {call.json["data"]["key"] for call in calls} == {old["public_id"], new["public_id"]}
    assert {(call.json["data"]["threshold"], call.json["data"]["spent"]) for call in calls} == {(80, "0.8")}


def test_another_budget_is_told_anew_and_another_webhook_only_of_what_follows(host: Served, receiver: Receiver) -> None:
    account, key, webhook = hooked(host, receiver, "--budget-month", "1")
    spend(host, key, 8)
    assert told(heard(receiver, webhook["secret"], 1)) == [("account", "month", 80)]
    later = host.cli_one("webhook", "create", account, receiver.hook)
    host.cli("account", "limit", account, "--budget-month", "0.8")
    calls = heard(receiver, webhook["secret"], 4)
    assert [(call.json["data"]["budget"], call.json["data"]["threshold"]) for call in calls] == [
        ("1", 80), ("0.8", 80), ("0.8", 95), ("0.8", 100)]
    assert {call.headers["webhook-id"] for call in heard(receiver, later["secret"], 3)} == {
        call.headers["webhook-id"] for call in calls[1:]}


def test_a_receiver_that_fails_is_asked_again_under_the_same_id(host: Served, receiver: Receiver) -> None:
    account, key, webhook = hooked(host, receiver, "--budget-month", "1")
    ways = iter([lambda call: call.reply(500, {}),
                 lambda call: call.reply(302, {}, location=receiver.hook),
                 lambda call: call.reset(),                                     # after it was taken
                 lambda call: call.send("HTTP/1.1 2"),
                 lambda call: call.reply(404, {})])
    receiver.respond = lambda call: next(ways, lambda call: call.reply(204, b""))(call)
    spend(host, key, 8)
    calls = heard(receiver, webhook["secret"], 6)
    state = wait_delivered(host, webhook)
    assert state["last"] == "it answered 204" and state["state"] == "active"
    assert len({(call.headers["webhook-id"], call.body) for call in calls}) == 1
    assert len(receiver.of(webhook["secret"])) == 6


def test_retry_after_is_honoured(host: Served, receiver: Receiver) -> None:
    _, key, webhook = hooked(host, receiver, "--budget-month", "1")
    times: list[float] = []
    plain = answering(503, retry_after="2")

    def respond(call: Call) -> None:
        times.append(time.monotonic())
        plain(call)
    receiver.respond = respond
    spend(host, key, 8)
    heard(receiver, webhook["secret"], 2)
    assert times[1] - times[0] >= 1.9


def test_a_receiver_that_is_gone_ends_its_webhook_alone(host: Served, receiver: Receiver) -> None:
    account, key, gone = hooked(host, receiver, "--budget-month", "1")
    receiver.respond = answering(410)
    spend(host, key, 8)
    wait_until(lambda: state_of(host, gone)["state"] == "gone", "the webhook has ended")
    other = host.cli_one("webhook", "create", account, receiver.hook)
    spend(host, key, 2)
    assert told(heard(receiver, other["secret"], 2)) == [("account", "month", 95), ("account", "month", 100)]
    assert len(receiver.of(gone["secret"])) == 1
    assert "no active webhook" in host.refused("webhook", "test", gone["webhook"])


@pytest.mark.parametrize("lost", ["console", "redis", "what redis held", "what redis held and the console"])
def test_a_notice_that_was_not_taken_yet_survives(host: Served, receiver: Receiver, lost: str) -> None:
    account, key, webhook = hooked(host, receiver, "--budget-month", "1")
    is_over = threading.Event()
    receiver.respond = lambda call: call.reply(200 if is_over.is_set() else 500, {})
    spend(host, key, 8)
    (before, *_) = heard(receiver, webhook["secret"], 1)
    if lost == "redis":
        host.redis.kill()
        host.redis.start()
    if "held" in lost:
        host.redis.command("FLUSHALL")
    if "console" in lost:
        (console,) = host.children("console")
        os.kill(console, signal.SIGKILL)
        wait_until(lambda: host.children("console") not in ([], [console]), "another console runs")
    is_over.set()
    if "held" in lost:
        host.cli("journal", "rebuild", timeout=120)
    wait_until(lambda: spend(host, key)[0].status == 429, "calls are admitted again, and the budget is spent", 120)
    wait_until(lambda: len({call.headers["webhook-id"] for call in receiver.of(webhook["secret"])}) == 3, "all are told", 120)
    wait_delivered(host, webhook)
    calls = receiver.of(webhook["secret"])
    assert told(calls) == [("account", "month", 80), ("account", "month", 95), ("account", "month", 100)]
    first = [call for call in calls if call.json["data"]["threshold"] == 80]
    assert {(call.headers["webhook-id"], call.body) for call in first} == {(before.headers["webhook-id"], before.body)}


def test_a_rebuild_brings_back_webhooks_and_what_was_told(host: Served, receiver: Receiver) -> None:
    account, key, webhook = hooked(host, receiver, "--budget-month", "1")
    ended = host.cli_one("webhook", "create", account, receiver.hook)
    host.cli("webhook", "delete", ended["webhook"])
    spend(host, key, 8)
    heard(receiver, webhook["secret"], 1)
    wait_delivered(host, webhook)
    host.settle_down(account)
    host.ship()
    before, known = canonical_dump(host.redis), state_of(host, webhook)
    assert any(":notices:" in name for name in before) and any(name.endswith(":webhooks") for name in before)
    host.cli("journal", "rebuild", "--from-zero", timeout=120)
    wait_until(lambda: not differences(before, canonical_dump(host.redis)), "Redis holds what it held", 60)
    assert known["last"] == "it answered 200" and state_of(host, webhook)["last_at"] == known["last_at"]
    wait_until(lambda: spend(host, key)[0].status == 429, "calls are admitted again, and the budget is spent", 60)
    calls = heard(receiver, webhook["secret"], 3)
    assert told(calls) == [("account", "month", 80), ("account", "month", 95), ("account", "month", 100)]
    assert len(receiver.of(webhook["secret"])) == 3, "what was told is told again"
    assert state_of(host, ended)["state"] == "deleted"


def test_an_operation_makes_one_webhook(host: Served, receiver: Receiver) -> None:
    account, _ = host.new_account()
    words = ("webhook", "create", account, receiver.hook, "--op", "wh-1")
    first, again = host.cli_one(*words), host.cli_one(*words)
    assert again == {**first, "repeated": True}
    assert len(host.cli("webhook", "list", account)) == 1
    assert "409" in (said := host.refused("webhook", "create", account, receiver.hook + "&x", "--op", "wh-1")) or "other" in said
    other = host.cli_one("webhook", "create", host.new_account()[0], receiver.hook, "--op", "wh-1")
    assert other["webhook"] != first["webhook"] and other["secret"] != first["secret"]
    host.cli("webhook", "delete", first["webhook"])
    assert host.cli_one("webhook", "delete", first["webhook"])["repeated"] is True
    assert state_of(host, first)["state"] == "deleted"
    assert "secret" not in state_of(host, first)
    for _ in range(10):
        host.cli("webhook", "create", account, receiver.hook)
    assert "10 webhooks" in host.refused("webhook", "create", account, receiver.hook)


@pytest.mark.parametrize("url,why", [
    ("http://example.com/h", "https://"), ("https://me:x@127.0.0.1/h", "no user"), ("https://127.0.0.1/h#x", "fragment"),
    ("https://0.0.0.0/h", "no public address"), ("https://", "names a host")])
def test_a_url_that_may_not_be_is_refused(host: Served, url: str, why: str) -> None:
    assert why in host.refused("webhook", "create", "demo", url)


def test_webhooks_of_nobody_are_refused(host: Served, receiver: Receiver) -> None:
    assert "no account" in host.refused("webhook", "create", "nobody", receiver.hook)
    assert "no webhook" in host.refused("webhook", "delete", "wh_01aaaaaaaaaa")
    assert "no active webhook" in host.refused("webhook", "test", "nothing")


def test_what_is_counted(host: Served, receiver: Receiver) -> None:
    _, _, webhook = hooked(host, receiver)
    receiver.respond = answering(500)
    (answer,) = tried(host, webhook)
    assert answer == {"webhook": webhook["webhook"], "delivered": False, "status": 500, "answer": "it answered 500"}

    def shows(line: str) -> Any:
        return re.search(line, host.try_get("/metrics", base=host.console)[1], re.MULTILINE)
    assert shows(r'^tollgate_webhooks_total\{result="delivered"\} [1-9]')
    wait_until(lambda: shows(r"^tollgate_webhooks_pending 0$"), "nothing is on its way")


def test_what_is_not_the_internet_is_not_connected_to(served: Served, receiver: Receiver, certificate: tuple[Path, Path]) -> None:
    """A name that is no address, and means this machine all the same: what counts is what it means when it is connected to."""
    port = receiver.url.rpartition(":")[2].split("/")[0]
    served.options = {"webhook_private": False}
    set_up(served, certificate)
    for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254"):
        assert "no public address" in served.refused("webhook", "create", "demo", f"https://{host}:{port}/h")
    for name in ("127.1", "2130706433"):
        webhook = served.cli_one("webhook", "create", "demo", f"https://{name}:{port}/h")
        before = len(receiver.calls)
        (answer,) = tried(served, webhook)
        assert answer["delivered"] is False and "may not be connected to" in answer["answer"]
        assert len(receiver.calls) == before


def test_stopping_waits_for_no_receiver(served: Served, receiver: Receiver, certificate: tuple[Path, Path]) -> None:
    """Neither for one that has a notice nor for one that somebody tried, and went away."""
    served.options = {"webhook_timeout": "5 min"}
    set_up(served, certificate)
    _, key, webhook = hooked(served, receiver, "--budget-month", "1")
    release = threading.Event()
    receiver.respond = lambda call: (release.wait(120), call.reply(200, {}))[1]
    try:
        spend(served, key, 8)
        (call,) = heard(receiver, webhook["secret"], 1)
        tries = subprocess.Popen([BINARY, "webhook", "test", webhook["webhook"], "-c", str(served.config)],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        heard(receiver, webhook["secret"], 2)
        tries.kill()
        tries.wait()
        served.stop_serving()
        assert "child_died" not in served.log_text()
    finally:
        release.set()
    receiver.respond = answering()
    served.serve().wait_ready()
    calls = heard(receiver, webhook["secret"], 3)
    assert calls[2].headers["webhook-id"] == call.headers["webhook-id"]


def test_what_is_never_taken_is_given_up(served: Served, receiver: Receiver, certificate: tuple[Path, Path]) -> None:
    served.options = {"webhook_give_up": "1 s"}
    set_up(served, certificate)
    _, key, webhook = hooked(served, receiver, "--budget-month", "1")
    receiver.respond = lambda call: call.reply(500, {})
    spend(served, key, 8)
    state = wait_delivered(served, webhook)
    assert state["state"] == "active" and state["last"] == "it answered 500"
    assert '"event":"webhook_given_up"' in served.log_text()
    receiver.respond = answering()
    spend(served, key, 2)
    wait_until(lambda: ("account", "month", 100) in told(receiver.of(webhook["secret"])), "what follows is told", 60)


def test_of_two_hosts_one_tells_and_the_other_takes_over(served: Served, second: Served, receiver: Receiver,
                                                         certificate: tuple[Path, Path]) -> None:
    set_up(served, certificate)
    second.join(served).serve().wait_ready()
    _, key, webhook = hooked(served, receiver, "--budget-month", "1")
    spend(second, key, 8)
    heard(receiver, webhook["secret"], 1)
    wait_until(lambda: all("last" in state_of(host, webhook) for host in (served, second)), "both know what the receiver did")
    teller, other = (served, second) if "webhook_delivered" in served.log_text() else (second, served)
    assert "webhook_delivered" not in other.log_text()
    wait_delivered(teller, webhook)
    teller.ship()
    known = state_of(teller, webhook)
    assert known["last"] == "it answered 200"
    teller.kill()
    assert {name: state_of(other, webhook)[name] for name in ("last", "last_at")} == {name: known[name] for name in ("last", "last_at")}
    wait_until(lambda: spend(other, key)[0].status == 429, "calls are admitted again, and the budget is spent", 120)
    calls = wait_until(lambda: (found := receiver.of(webhook["secret"])) and len(told(found)) == 3 and found, "all are told", 120)
    assert told(calls) == [("account", "month", 80), ("account", "month", 95), ("account", "month", 100)]
    assert len(calls) == 3
