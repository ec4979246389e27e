"""The journal's disk is full, read-only, or gives back other bytes than were written."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import money
from tollgate import DEMO_PRICE, Served, wait_until
from wire import Reply

CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": "a b c"}]}
ONE = money.rate(DEMO_PRICE, {"input_tokens": 3, "output_tokens": 3})


@pytest.fixture
def small_disk(served: Served) -> Iterator[Path]:
    """A file system of a few megabytes where the journal stands."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    journal = served.state / "journal"
    served.state.mkdir(mode=0o700)
    journal.mkdir(mode=0o700)
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m,mode=0700", "tollgate-test", str(journal)],
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {made.stderr.strip()}")
    try:
        yield journal
    finally:
        if served.process:
            served.process.kill_all()
            served.process = None
        wait_until(lambda: subprocess.run(["umount", str(journal)], check=False).returncode == 0, "it is unmounted")


def fill(folder: Path) -> Path:
    """A file that takes all the room that is left."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return path


def call(served: Served, **more: Any) -> Reply:
    with served.wire() as wire:
        return wire.ask(wire.chat({**CALL, **more}))


def check_full(reply: Reply) -> None:
    assert reply.status == 503 and reply.headers["x-tollgate-code"] == "gateway_journal_full", reply
    assert reply.error["code"] == "service_unavailable" and "disk" in reply.error["message"]


def test_a_full_disk_refuses_calls_and_loses_none(served: Served, small_disk: Path) -> None:
    served.options = {"journal_segment": "256 KiB"}
    served.backends = {"echo": {"kind": "echo"}, "slow": {"kind": "echo", "delay": "100 ms"}}
    models = [{"id": "demo/echo", "backends": [{"name": "echo"}]}, {"id": "demo/slow", "backends": [{"name": "slow"}]}]
    served.start().set_up("100", models)
    workers = served.workers()
    with served.wire() as wire:
        wire.send(wire.chat({"model": "demo/slow", "stream": True,
                             "messages": [{"role": "user", "content": "w " * 150}]}))
        wait_until(lambda: served.account_state()["open_calls"] == 1, "a stream runs")
        filler = fill(small_disk)
        answered, refused = set(), 0
        deadline = time.monotonic() + 90
        while refused < 50:
            assert time.monotonic() < deadline, f"{len(answered)} calls went through on a full disk"
            reply = call(served)
            if reply.status == 200:
                answered.add(reply.headers["x-request-id"])
            else:
                check_full(reply)
                refused += 1
        reply = wire.reply()
        assert reply.is_whole and reply.events()[-1] == "[DONE]", "the stream that was admitted ends well"
    assert served.workers() == workers, "a worker died of the full disk"
    filler.unlink()
    wait_until(lambda: all(call(served).status == 200 for _ in range(10)), "calls are admitted again")
    served.settle_down()
    events = served.events("demo")
    assert answered <= {event["request_id"] for event in events}
    assert served.balance() == 100 - money.total(events)
    assert all(event["outcome"] == "complete" for event in events)


def test_a_read_only_disk_refuses_calls_until_it_can_be_written(served: Served, small_disk: Path) -> None:
    served.options = {"journal_segment": "256 KiB"}
    served.start().set_up()
    assert call(served).status == 200
    served.stop_serving()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    served.serve()
    for _ in range(4):
        check_full(wait_until(lambda: (reply := call(served)).headers["x-tollgate-code"] != "gateway_unavailable" and reply,
                              "a worker knows the key, and its disk"))
    status, body = served.try_get("/readyz")
    assert status == 503 and "journal" in body["reason"]
    assert "journal" in served.refused("account", "credit", "demo", "1")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    wait_until(lambda: all(call(served).status == 200 for _ in range(4)), "calls are admitted again")
    served.settle_down()
    assert served.balance() == 100 - money.total(served.events("demo")) <= 100 - 5 * ONE


def test_a_damaged_journal_is_named_and_the_worker_goes_on_in_a_fresh_one(served: Served) -> None:
    served.start().set_up()
    answered = {call(served).headers["x-request-id"] for _ in range(20)}
    served.settle_down()
    before = set((served.state / "journal").iterdir())
    served.kill()
    damaged = damage_a_call(served.state / "journal")
    served.serve()
    served.wait_ready()
    answered.add(call(served).headers["x-request-id"])
    wait_until(lambda: re.search(rf"journal_damaged.*{damaged.parent.name}", served.log_text()), "the directory is named")
    wait_until(lambda: set((served.state / "journal").iterdir()) > before, "a fresh directory is made")
    assert any(line["damaged"] for line in served.cli("journal", "show"))
    served.settle_down()
    events = served.events("demo")
    assert {event["request_id"] for event in events} == answered
    assert served.balance() == 100 - money.total(events)


def damage_a_call(journal: Path) -> Path:
    """Flips a bit in the middle of a record that was stated as synced."""
    for segment in sorted(journal.glob("*/*.open")):
        data = segment.read_bytes()
        place = data.find(b'"kind":"call"')
        if place > 0 and b'"kind":"sync"' in data[place:]:
            with segment.open("r+b") as file:
                file.seek(place + 40)
                file.write(bytes([data[place + 40] ^ 1]))
            return segment
    raise AssertionError("no open segment holds a call that was stated as synced")


def test_a_torn_tail_is_accepted(served: Served) -> None:
    """What a crash leaves above the last stated sync: half a frame, or anything."""
    served.start().set_up()
    answered = {call(served).headers["x-request-id"] for _ in range(6)}
    served.settle_down()
    served.kill()
    for segment in (served.state / "journal").glob("*/*.open"):
        data = segment.read_bytes()
        end = len(data.rstrip(b"\0"))
        with segment.open("r+b") as file:
            file.seek(end)
            file.write(b"\x50\0\0\0torn")
    served.serve()
    served.wait_ready()
    answered.add(call(served).headers["x-request-id"])
    assert "journal_damaged" not in served.log_text()
    served.settle_down()
    events = served.events("demo")
    assert {event["request_id"] for event in events} == answered
    assert served.balance() == 100 - money.total(events)
