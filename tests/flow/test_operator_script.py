"""docs/first-month.md as it stands: its blocks are run in their order, in one shell. Only paths, ports, users, the model's address,
the month and some patience are this test's; adduser finds that its user exists, systemctl does what the unit says and waits no longer
than systemd must, journalctl shows the log, redis-server starts what this test ends; and the clock goes on by itself where the month
is over.

As root, the server with its commands, and Redis, are users of the machine's that are neither root nor each other, so what one can't
read of another's fails here as it would there. Without root all is one user's: then owners are not shown, all else is."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import tollgate
from model_server import ModelServer
from test_month_end import after, noon_of_the_second
from tollgate import PATIENCE, SLOWER, Process, Served, wait_until
from wire import Reply

CHAPTER = tollgate.TOP / "docs" / "first-month.md"
UNIT = tollgate.TOP / "conf" / "tollgate.service"
HOUR = timedelta(hours=1)
ANSWERED = "done"
# Who stands for the users that the chapter makes: every Linux has these, and none runs anything as them.
USERS = {"tollgate": "daemon", "redis": "bin", "root": "root"}
IS_ROOT = os.geteuid() == 0


def sections() -> list[tuple[str, list[str]]]:
    """The chapter's headings, each with its blocks."""
    parts = re.split(r"^## (.+)\n", CHAPTER.read_text(), flags=re.MULTILINE)[1:]
    return [(title, re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
            for title, text in zip(parts[::2], parts[1::2], strict=True)]


def unit_says(name: str) -> str:
    """The one line of this name."""
    (value,) = re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)
    return value


def as_user(user: str) -> list[str]:
    """What a command is put behind to be run by the user that stands for this one, with nothing of root's; and it ends with
    this process, which it forgets when it becomes another user."""
    if not IS_ROOT:
        return []
    return ["setpriv", "--reuid", USERS[user], "--regid", USERS[user], "--clear-groups", "--no-new-privs", "setpriv",
            "--pdeathsig", "TERM"]


class Shell:
    """A bash that stays, as the reader's does: what one block defines, the next ones have."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder, self.count = folder, 0
        folder.mkdir()
        self.bash = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "bash", "-euo", "pipefail"], stdin=subprocess.PIPE,
                                     env={**os.environ, **environment}, text=True, start_new_session=True)

    def run(self, block: str) -> str:
        self.count += 1
        script, said, told, done = (self.folder / f"{self.count}.{name}" for name in ("sh", "out", "err", "done"))
        script.write_text(block)
        assert self.bash.stdin
        with suppress(BrokenPipeError):
            self.bash.stdin.write(f". {script} < /dev/null > {said} 2> {told}\n: > {done}\n")
            self.bash.stdin.flush()
        wait_until(lambda: done.exists() or self.bash.poll() is not None, f"this block is over:\n{block}", 3 * PATIENCE)
        outputs = [path.read_text() if path.exists() else "" for path in (said, told)]
        assert done.exists(), f"this block ended with {self.bash.returncode}:\n{block}\n{outputs[0]}\n{outputs[1]}"
        return outputs[0]

    def close(self) -> None:
        """With what it may still be waiting for."""
        with suppress(ProcessLookupError):
            os.killpg(self.bash.pid, signal.SIGKILL)
        self.bash.communicate()


class Host:
    """The machine that the chapter speaks of, in a folder."""

    def __init__(self, folder: Path, model: ModelServer) -> None:
        self.folder = folder
        self.etc, self.var, self.bin = folder / "etc", folder / "var", folder / "bin"
        self.redis_folder = folder / "redis"
        self.bin.mkdir()
        self.served = Served(self.var / "state", (self.etc / "ca" / "ca.pem", self.etc / "server.key"))
        self.served.owns_redis = False
        shutil.rmtree(self.var)
        self.served.log = folder / "server-log"
        self.served.config = self.etc / "tollgate.conf"
        self.redis_port = tollgate.free_port()
        self.redis: Process | None = None
        self.period = f"{datetime.now(UTC) + 8 * HOUR:%Y-%m}"
        self.words = {"/etc/tollgate": str(self.etc), "/var/lib/tollgate": str(self.var),
                      "/var/backups/tollgate": str(folder / "backup"), "/var/lib/redis-tollgate": str(self.redis_folder),
                      "6379": str(self.redis_port),
                      "http://127.0.0.1:8000/v1": model.url, "8443": str(self.served.port),
                      "8444": str(self.served.console_port), "2026-11": self.period, **self._user_words()}
        self._make_programs()
        self.environment = {"PATH": f"{self.bin}:{os.environ['PATH']}", "TOLLGATE_CONFIG": str(self.served.config)}
        self.shell = Shell(folder / "blocks", self.environment)
        threading.Thread(target=self._serve_requests, daemon=True).start()

    @staticmethod
    def _user_words() -> dict[str, str]:
        """As options name the chapter's users; without root, nobody else is anybody."""
        words = {}
        for user, own in USERS.items():
            words[f"runuser -u {user} -- "] = f"runuser -u {own} -- " if IS_ROOT else "command "
            words |= {f"-{option} {user} ": f"-{option} {own} " if IS_ROOT else "" for option in "og"}
        return words

    def _make_programs(self) -> None:
        """What starts processes asks this one, so that they end with it. The program is installed where all can run it."""
        shutil.copy(tollgate.BINARY, self.bin / "tollgate")
        self.asked, self.answered = self.folder / "asked", self.folder / "answered"
        for fifo in (self.asked, self.answered):
            os.mkfifo(fifo)
            fifo.chmod(0o666)
        self._make_program("adduser", f'[ "$*" = "--system --group {unit_says("User")}" ]')
        self._make_program("journalctl", self._journalctl())
        for name in ("systemctl", "redis-server"):
            self._make_program(name, f'echo "{name} $* by $(id -un)" > {self.asked}\nread answer < {self.answered}\n'
                                     f'echo "$answer" >&2\n[ "$answer" = {ANSWERED} ]')

    def _make_program(self, name: str, text: str) -> None:
        program = self.bin / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)

    def _journalctl(self) -> str:
        """The last line's cursor, and what was logged after one: here how many bytes had been written."""
        log = self.served.log
        return (f'case $* in\n"-u tollgate -n 1 -o json") echo "{{\\"__CURSOR\\": \\"$(stat -c %s {log})\\"}}" ;;\n'
                f'"-u tollgate -o cat --after-cursor "*) tail -c +$(($6 + 1)) {log} ;;\n*) exit 2 ;;\nesac')

    def _serve_requests(self) -> None:
        while True:
            words = self.asked.read_text().split()
            if not words:
                return
            try:
                self.actions[" ".join(words)]()
                answer = ANSWERED
            except Exception as failure:        # noqa: BLE001 - told by the command
                answer = f"{type(failure).__name__}: {failure}".replace("\n", " ")[:2000]
            self.answered.write_text(answer + "\n")

    @property
    def actions(self) -> dict[str, Callable[[], None]]:
        own = pwd.getpwuid(os.geteuid()).pw_name
        return {f"systemctl start tollgate by {own}": self.start, f"systemctl stop tollgate by {own}": self.served.stop_serving,
                f"systemctl reload tollgate by {own}": self.send_reload,
                f"redis-server {self.redis_folder}/redis.conf by {USERS['redis'] if IS_ROOT else own}": self.start_redis}

    def start(self) -> None:
        """As the unit does: its check, then its server, by its user; and back when that says so, which is not yet ready for calls."""
        if "testing" not in self.served.config.read_text():
            self.write_clock(0)
        user = as_user(unit_says("User"))
        words = {name: unit_says(name).replace("/usr/local/bin", str(self.bin)).split() for name in ("ExecStartPre", "ExecStart")}
        checked = subprocess.run([*user, *words["ExecStartPre"]], env={**os.environ, **self.environment}, capture_output=True,
                                 text=True, check=False, timeout=PATIENCE * SLOWER)
        assert checked.returncode == 0, f"{unit_says('ExecStartPre')}: {checked.stderr}"
        address = self.folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(str(address))
            address.chmod(0o666)
            supervisor.settimeout(PATIENCE * SLOWER)
            self.served.process = Process([*user, *words["ExecStart"]], self.served.log,
                                          environment={**self.environment, "NOTIFY_SOCKET": str(address)})
            assert supervisor.recv(256) == b"READY=1"
        address.unlink()

    def send_reload(self) -> None:
        """systemd goes on as soon as the command has ended, which here is kill."""
        assert unit_says("ExecReload") == "/bin/kill -HUP $MAINPID"
        os.kill(self.served.pid, signal.SIGHUP)

    def start_redis(self) -> None:
        if self.redis:
            wait_until(lambda: self.redis and self.redis.popen.poll() is not None, "the Redis of before has ended")
        self.redis = Process([*as_user("redis"), "/usr/bin/env", "redis-server", str(self.redis_folder / "redis.conf"),
                              "--daemonize", "no"], self.folder / "redis.log")
        password = (self.etc / "redis.admin").read_text().strip()
        wait_until(lambda: "PONG" in subprocess.run(
            ["redis-cli", "-p", str(self.redis_port), "PING"], env={**os.environ, "REDISCLI_AUTH": password},
            capture_output=True, text=True, check=False).stdout, "Redis answers")

    def write_clock(self, offset_ms: int) -> None:
        """Beside what the chapter wrote, with the patience that a busy machine needs."""
        config = self.served.config
        kept = config.read_text().partition("testing")[0]
        patience = "".join(f'{name} = "{value}"\n' for name, value in tollgate.UNHURRIED.items())
        config.write_text(f"{kept}testing = true\nclock_offset = {offset_ms}\n{patience}")

    def reach_next_month(self) -> None:
        then = datetime.fromisoformat(noon_of_the_second(after(self.period)))
        self.served.stop_serving()
        self.write_clock(int((then - datetime.now(UTC)) / timedelta(milliseconds=1)))
        self.start()

    def run(self, block: str) -> str:
        return self.shell.run(re.sub("|".join(map(re.escape, self.words)), lambda found: self.words[found[0]], block))

    def unsafe(self) -> list[dict[str, str]]:
        """What the doctor finds that the chapter could have done better: the machine is this test's."""
        found = [json.loads(line) for line in self.run("tollgate doctor --json || true").splitlines()]
        assert len(found) > 10, found
        return [one for one in found if one["health"] == "unsafe" and one["about"] not in ("journal", "limits")]

    def refuses_a_bad_config(self) -> None:
        """What the chapter's `reload` is for, besides waiting."""
        config = self.served.config
        good = config.read_text()
        config.write_text("nonsense\n")
        self.run("if reload; then exit 1; fi")
        config.write_text(good)

    def not_of(self, user: str) -> str:
        """What under /var/lib/tollgate is another's."""
        find = ["find", str(self.var), "!", "-user", USERS[user]]
        return subprocess.run(find, capture_output=True, text=True, check=False).stdout

    def secrets(self) -> list[bytes]:
        state = [self.var / "state" / name for name in ("pepper", "derivation.key", "signing.pem", "operator.token", "finance.token")]
        etc = [self.etc / name for name in ("server.key", "backend.key", "redis.password", "redis.admin")]
        return [file.read_bytes() for file in (*state, *etc, *sorted((self.etc / "handed-out").glob("*.key")))]

    def readable(self, user: str) -> set[str]:
        """Files of /etc/tollgate that this user can read; with a mark those that it could write."""
        which = ["(", "-writable", "-printf", "%P!\\n", "-o", "-readable", "-printf", "%P\\n", ")"]
        found = subprocess.run([*as_user(user), "find", str(self.etc), "-type", "f", *which], capture_output=True, text=True,
                               check=False)
        return set(found.stdout.split())

    def close(self) -> None:
        self.shell.close()
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
def host() -> Iterator[Host]:
    """In a folder that other users can enter, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="host-", ignore_cleanup_errors=True) as folder, \
            ModelServer(timeout=120.0 * SLOWER) as model:
        Path(folder).chmod(0o755)
        host = Host(Path(folder), model)
        try:
            yield host
        finally:
            host.close()


def rotate_under_calls(host: Host, blocks: list[str]) -> tuple[list[str], list[str]]:
    """Every block, and at least one more call behind each: what the blocks said, and the request ids of the calls."""
    said = []
    with Client(host) as client:
        for block in blocks:
            said.append(host.run(block))
            done = len(client.replies)
            wait_until(lambda done=done: client.failure or len(client.replies) > done + 1, "a call that began since is answered")
    assert client.failure is None, client.failure
    assert {(reply.status, reply.is_whole) for reply in client.replies} == {(200, True)}
    return said, [reply.headers["x-request-id"] for reply in client.replies]


def test_who_follows_the_manual_closes_a_month(host: Host) -> None:
    answered: list[str] = []
    titles, said = [], []
    for title, blocks in sections():
        titles.append(title)
        if title == "The month is over":
            host.reach_next_month()
        if title == "Every secret, replaced":
            before = host.secrets()
            more, answered = rotate_under_calls(host, blocks)
            assert len(before) == 12 and not {*before} & {*host.secrets()}, "none is what it was"
            said += more
        else:
            said += [host.run(block) for block in blocks]
        if title in ("The config", "A backup, put back"):
            assert host.unsafe() == []
            host.served.wait_ready()        # the machine may be slower than a reader who types
            host.refuses_a_bad_config()
    assert titles[0] == "The shell" and titles[-1] == "The month is over" and len(titles) == 9, titles
    bundle = host.var / f"bundle-{host.period}"
    events = subprocess.run(["zstd", "-dc", str(bundle / "events.jsonl.zst")], capture_output=True, text=True, check=True).stdout
    assert set(answered) <= set(re.findall(r'"request_id":"([^"]+)"', events)), "every answered call is in the closed month"
    *lines, trailer = [json.loads(line) for line in (bundle / "statements.jsonl").read_text().splitlines()]
    assert {line["creator"] for line in lines} == {"alice", "bob"} and trailer
    by_hand = "".join(said).count("completion_tokens\"")
    assert by_hand == 8 and events.count("\n") == len(answered) + by_hand
    if IS_ROOT:
        assert host.not_of("tollgate") == ""
        assert host.readable("redis") == set()
        assert host.readable("tollgate") == {
            "tollgate.conf", "catalogue.json", "receipts/acme", *(f"{name}!" for name in (
                "server.pem", "server.key", "redis.password", "backend.key"))}, "the rest is root's alone"
