"""Calls that go on whatever happens, and that all of them are billed once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import money
from tollgate import Gateway, wait_until
from wire import Reply

FAST = {"model": "demo/fast", "messages": [{"role": "user", "content": "a b c"}]}


class Load:
    """Calls that go on whatever happens, and what became of each."""

    def __init__(self, gateway: Gateway, key: str, threads: int = 4) -> None:
        self.gateway, self.key = gateway, key
        self.answered: set[str] = set()
        self.refused: list[Reply] = []
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *rest: Any) -> None:
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def _run(self, number: int) -> None:
        with self.gateway.wire(self.key) as wire:
            while not self.is_over.is_set():
                self._note(wire.ask(wire.chat({**FAST, "stream": number % 2 == 0})))

    def _note(self, reply: Reply) -> None:
        assert reply.status, "a connection was broken"
        if reply.status == 200:
            assert reply.is_whole
            self.answered.add(reply.headers["x-request-id"])
        else:
            self.refused.append(reply)
            time.sleep(0.05)

    def wait_for_more(self, count: int) -> None:
        before = len(self.answered)
        wait_until(lambda: len(self.answered) >= before + count, f"{count} more calls are answered")


def check_refused(replies: list[Reply]) -> None:
    for reply in replies:
        assert reply.status == 503 and reply.error["message"] and reply.error["code"] == "service_unavailable", reply
        assert int(reply.headers["retry-after"]) >= 1, reply
        assert reply.headers["x-tollgate-code"] in ("gateway_unavailable", "gateway_recovering")


def check_billed(gateway: Gateway, account: str, key: str, answered: set[str], credit: int = 10) -> None:
    """Every answered call is there once, complete; the balance is what all events leave."""
    state = gateway.settle_down(account)
    gateway.ship()
    events = list(pages(gateway, key))
    complete = {event["request_id"] for event in events if event["outcome"] == "complete"}
    assert len({event["request_id"] for event in events}) == len(events)
    assert answered <= complete, f"{len(answered - complete)} calls were answered and not billed"
    assert state["balance"] == money.spelled(credit - money.total(events))


def pages(gateway: Gateway, key: str) -> Iterator[Any]:
    query = "?limit=1000"
    while True:
        page = gateway.get(f"/v1/usage{query}", key)
        yield from page["data"]
        if not page["has_more"]:
            return
        query = f"?limit=1000&before={page['data'][-1]['request_id']}"
