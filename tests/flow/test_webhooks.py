"""Soft limits: each threshold of a budget is told once, signed, whatever dies on the way, and only to whom it may be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tollgate import Served, wait_until
from upstream import Call, Upstream
from wire import Reply

PRICES = {"dime": {"call": "0.10", "input_tokens": "0", "output_tokens": "0"}}
CALL = {"model": "demo/fast", "messages": [{"role": "user", "content": "a b c"}], "max_completion_tokens": 10}
QUICK = {"webhook_private": True, "webhook_look": "100 ms", "webhook_retry": "50 ms"}


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


def test_each_threshold_is_told_once_and_signed(host: Served, receiver: Receiver) -> None:
    account, key, webhook = hooked(host, receiver, "--budget-day", "1")
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
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", data.pop("period"))
    assert data == {"account": account, "scope": "account", "window": "day", "threshold": 80, "budget": "1",
                    "spent": "0.8", "currency": "CNY"}
    assert [reply.status for reply in spend(host, key, 3)] == [200, 200, 429]
    calls = heard(receiver, webhook["secret"], 3)
    assert [call.json["data"]["threshold"] for call in calls] == [80, 95, 100]
    assert len({call.headers["webhook-id"] for call in calls}) == 3


def state_of(host: Served, webhook: dict[str, Any]) -> Any:
    (state,) = [one for one in host.cli("webhook", "list", webhook["account"]) if one["webhook"] == webhook["webhook"]]
    return state
