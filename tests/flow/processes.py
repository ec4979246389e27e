"""Programs that a test starts, and how long it waits for them: each in a session of its own, ended with all that it started, and
looked at through /proc."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

SLOWER = 4 if "ASAN_OPTIONS" in os.environ else 1       # a sanitizer build may take that much longer
# How long a test waits for what must come, before it says that it does not: no claim about speed, as several tests and their
# gateways share a slow machine. Where a time is the claim itself, the test states it.
PATIENCE = 90.0
START_SECONDS = STOP_SECONDS = PATIENCE * SLOWER

T = TypeVar("T")


def wait_until(ask: Callable[[], T], what: str, timeout: float = PATIENCE) -> T:
    """Asks until the answer is true, and returns it; what it waited for stands in the failure."""
    deadline = time.monotonic() + timeout * SLOWER
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"after {timeout * SLOWER:g} s still not: {what}"
        time.sleep(0.05)
    return answer


PORTS = range(10000, 30000)             # below those that the kernel hands out
claimed_ports: collections.deque[socket.socket] = collections.deque(maxlen=100)


def free_port() -> int:
    """A port to be listened on later. Other tests run at the same time, so it is none that the kernel gives to somebody
    in between, and a name of its own says that it is claimed, until this process has claimed a hundred more."""
    while True:
        port = random.choice(PORTS)
        claim = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), socket.socket() as probe:
            claim.bind(f"\0tollgate-tests-port-{port}")
            probe.bind(("127.0.0.1", port))
            claimed_ports.append(claim)
            return port
        claim.close()


class Process:
    """A program in a session of its own, and all that it starts: recognised by that session, and, should one leave it,
    by a mark in the environment."""

    def __init__(self, command: list[str], log: Path, *, stdout: int = subprocess.DEVNULL,
                 environment: dict[str, str] | None = None) -> None:
        self.mark = f"TOLLGATE_TEST={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        with log.open("ab") as stderr:
            # setpriv: when pytest is killed, what it started ends as well.
            self.popen = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command], stdin=subprocess.DEVNULL, stdout=stdout,
                stderr=stderr, env={**os.environ, **(environment or {}), name: value}, start_new_session=True)
        self.pid = self.popen.pid

    def family(self) -> list[int]:
        """Every living process of the session or with the mark."""
        return [pid for pid in all_processes() if self._is_ours(pid) and not is_gone(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            return stat_field(pid, SESSION) == str(self.pid) or \
                self.mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def stop(self, timeout: float = STOP_SECONDS, sign: int = signal.SIGTERM) -> int:
        """Asks it to end; fails if it does not, or leaves a process behind. Returns its exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(sign)
        try:
            code = self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill_all()
            raise AssertionError(f"it did not end within {timeout:g} s of signal {sign}") from None
        deadline = time.monotonic() + PATIENCE * SLOWER
        while (left := self.family()) and time.monotonic() < deadline:
            time.sleep(0.02)
        names = {pid: command_of(pid) for pid in left}
        self.kill_all()
        assert not left, f"it ended and left behind {names}"
        return code

    def kill_all(self) -> None:
        for pid in {self.pid, *self.family()}:
            with contextlib.suppress(ProcessLookupError):
                if pid != self.pid or self.popen.poll() is None:
                    os.kill(pid, signal.SIGKILL)
        self.popen.wait()


STATE, PARENT, SESSION = 0, 1, 3       # of /proc/PID/stat, after the name


def stat_field(pid: int, field: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[field]


def all_processes() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def is_gone(pid: int) -> bool:
    """Also true of a zombie."""
    try:
        return stat_field(pid, STATE) in "ZX"
    except OSError:
        return True


def sockets_between(ours: int, theirs: int) -> set[str]:
    """The inodes of this machine's TCP sockets at port `ours` that are connected to port `theirs`."""
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {fields[9] for fields in lines
            if [int(end.rpartition(":")[2], 16) for end in fields[1:3]] == [ours, theirs]}


def holds_socket(pid: int, inodes: set[str]) -> bool:
    """Whether one of these is open in the process."""
    with contextlib.suppress(OSError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.readlink(descriptor).removeprefix("socket:[").removesuffix("]") in inodes:
                    return True
    return False


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(stat_field(pid, PARENT))
    except OSError:
        return 0
