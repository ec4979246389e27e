"""docs/first-month.md as it stands: its blocks are run in their order. Only paths, ports, the model's address and the month are
this test's, systemctl and redis-server start what this test ends, and the clock goes on by itself where the month is over."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import tollgate
from model_server import ModelServer
from test_month_end import after, noon_of_the_second
from tollgate import PATIENCE, SLOWER, Process, Served, wait_until
from wire import Reply

CHAPTER = tollgate.TOP / "docs" / "first-month.md"
HOUR = timedelta(hours=1)
ANSWERED = "done"


def sections() -> list[tuple[str, list[str]]]:
    """The chapter's headings, each with its blocks."""
    parts = re.split(r"^## (.+)\n", CHAPTER.read_text(), flags=re.MULTILINE)[1:]
    return [(title, re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
            for title, text in zip(parts[::2], parts[1::2], strict=True)]


class Host:
    """The machine that the chapter speaks of, in a folder."""

    def __init__(self, folder: Path, model: ModelServer) -> None:
        self.folder = folder
        self.etc, self.var, self.bin = folder / "etc", folder / "var", folder / "bin"
        self.bin.mkdir()
        self.served = Served(self.var / "state", (self.var / "ca" / "ca.pem", self.etc / "server.key"))
        self.served.owns_redis = False
        self.served.log = folder / "tollgate.log"
        self.served.config = self.etc / "tollgate.conf"
        self.redis_port = tollgate.free_port()
        self.redis: Process | None = None
        self.period = f"{datetime.now(UTC) + 8 * HOUR:%Y-%m}"
        self.words = {"/etc/tollgate": str(self.etc), "/var/lib/tollgate": str(self.var), "6379": str(self.redis_port),
                      "http://127.0.0.1:8000/v1": model.url, "8443": str(self.served.port),
                      "8444": str(self.served.console_port), "2026-11": self.period}
        self._make_programs()
        threading.Thread(target=self._serve_requests, daemon=True).start()

    def _make_programs(self) -> None:
        """What starts processes asks this one, so that they end with it."""
        self.asked, self.answered = self.folder / "asked", self.folder / "answered"
        os.mkfifo(self.asked), os.mkfifo(self.answered)
        (self.bin / "tollgate").symlink_to(tollgate.BINARY)
        for name in ("systemctl", "redis-server"):
            program = self.bin / name
            program.write_text(f'#!/bin/sh\necho "{name} $*" > {self.asked}\nread answer < {self.answered}\n'
                               f'echo "$answer" >&2\n[ "$answer" = {ANSWERED} ]\n')
            program.chmod(0o755)

    def _serve_requests(self) -> None:
        while True:
            words = self.asked.read_text().split()
            if not words:
                return
            try:
                self.actions[" ".join(words[:2])]()
                answer = ANSWERED
            except Exception as failure:        # noqa: BLE001 - told by the command
                answer = f"{type(failure).__name__}: {failure}".replace("\n", " ")[:2000]
            self.answered.write_text(answer + "\n")

    @property
    def actions(self) -> dict[str, Callable[[], None]]:
        return {"systemctl start": self.start, "systemctl stop": self.served.stop_serving, "systemctl reload": self.served.reload,
                f"redis-server {self.etc}/redis.conf": self.start_redis}

    def start(self) -> None:
        if "testing" not in self.served.config.read_text():
            self.write_clock(0)
        self.served.serve()
        self.served.wait_ready()

    def start_redis(self) -> None:
        if self.redis:
            wait_until(lambda: self.redis and self.redis.popen.poll() is not None, "the Redis of before has ended")
        self.redis = Process(["/usr/bin/env", "redis-server", str(self.etc / "redis.conf"), "--daemonize", "no"],
                             self.folder / "redis.log")
        password = (self.etc / "redis.admin").read_text().strip()
        wait_until(lambda: "PONG" in subprocess.run(
            ["redis-cli", "-p", str(self.redis_port), "PING"], env={**os.environ, "REDISCLI_AUTH": password},
            capture_output=True, text=True, check=False).stdout, "Redis answers")

    def write_clock(self, offset_ms: int) -> None:
        config = self.served.config
        kept = [line for line in config.read_text().splitlines() if not line.startswith(("testing", "clock_offset"))]
        config.write_text("\n".join([*kept, "testing = true", f"clock_offset = {offset_ms}", ""]))

    def reach_next_month(self) -> None:
        then = datetime.fromisoformat(noon_of_the_second(after(self.period)))
        self.served.stop_serving()
        self.write_clock(int((then - datetime.now(UTC)) / timedelta(milliseconds=1)))
        self.start()

    def run(self, block: str) -> str:
        for word, own in self.words.items():
            block = block.replace(word, own)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=3 * PATIENCE * SLOWER,
            env={**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}", "TOLLGATE_CONFIG": str(self.served.config)})
        assert done.returncode == 0, f"this block ended with {done.returncode}:\n{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def close(self) -> None:
        if self.served.process:
            self.served.process.kill_all()
        if self.redis:
            self.redis.kill_all()
        self.asked.unlink()


class Client(threading.Thread):
    """Calls one after the other, each over a connection of its own, with the key that it was given first."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host, self.over = host, threading.Event()
        self.key = (host.etc / "handed-out" / "acme.key").read_text().strip()
        self.replies: list[Reply] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        body = {"model": "alice/poet", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello."}]}
        try:
            while not self.over.is_set():
                with self.host.served.wire(self.key) as wire:
                    self.replies.append(wire.ask(wire.chat({**body, "stream": len(self.replies) % 2 == 0})))
        except BaseException as failure:        # noqa: BLE001 - told by the test
            self.failure = failure

    def __enter__(self) -> Client:
        self.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self.over.set()
        self.join()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with ModelServer(timeout=120.0 * SLOWER) as model:
        host = Host(tmp_path, model)
        try:
            yield host
        finally:
            host.close()


def rotate_under_calls(host: Host, blocks: list[str]) -> list[str]:
    """Every block, and at least one more call behind each; the request ids."""
    with Client(host) as client:
        for block in blocks:
            host.run(block)
            done = len(client.replies)
            wait_until(lambda done=done: client.failure or len(client.replies) > done + 1, "a call that began since is answered")
    assert client.failure is None, client.failure
    assert {(reply.status, reply.is_whole) for reply in client.replies} == {(200, True)}
    return [reply.headers["x-request-id"] for reply in client.replies]


def test_who_follows_the_manual_closes_a_month(host: Host) -> None:
    answered: list[str] = []
    titles = []
    for title, blocks in sections():
        titles.append(title)
        if title == "The month is over":
            host.reach_next_month()
        if title == "Every secret, replaced":
            answered = rotate_under_calls(host, blocks)
        else:
            for block in blocks:
                host.run(block)
    assert titles[0] == "A certificate" and titles[-1] == "The month is over" and len(titles) == 8, titles
    bundle = host.var / f"bundle-{host.period}"
    events = subprocess.run(["zstd", "-dc", str(bundle / "events.jsonl.zst")], capture_output=True, text=True, check=True).stdout
    assert set(answered) <= set(re.findall(r'"request_id":"([^"]+)"', events)), "every answered call is in the closed month"
    *lines, trailer = [json.loads(line) for line in (bundle / "statements.jsonl").read_text().splitlines()]
    assert {line["creator"] for line in lines} == {"alice", "bob"} and trailer
    assert events.count("\n") == len(answered) + 4
    shutil.rmtree(host.var / "backup")
