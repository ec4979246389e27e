"""A running Tollgate as a test sees it: started, asked, killed, stopped, and checked to leave nothing behind.

`Dev` is `tollgate dev`; `Served` is `tollgate serve` with a config, a catalogue and a redis-server of the test's own,
so that a test can choose every option and do to Redis what it likes. Both are asked in the same ways. What a test needs
of processes.py besides is had from here too.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import subprocess
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from processes import (PATIENCE, SLOWER, START_SECONDS, STOP_SECONDS, Process, command_of, free_port, holds_socket, is_gone, parent_of,
                       sockets_between, wait_until)
from wire import Wire

if TYPE_CHECKING:
    import openai

TOP = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("TOLLGATE", str(TOP / "build" / "tollgate"))
# Options of a gateway whose clients and Redis share a slow machine with much else. Tests of these times set their own.
UNHURRIED = {"handshake_timeout": "1 min", "head_timeout": "5 min", "redis_timeout": "5 s"}
# What a host copies from another to belong to its installation.
JOINING_FILES = ("installation.json", "pepper", "derivation.key", "signing.pem", "operator.token", "finance.token")

# A cut model's prices, so that a test can compute every amount by itself.
DEMO_PRICE = {"input_tokens": "2.00", "output_tokens": "8.00"}


class CommandFailed(AssertionError):
    def __init__(self, words: tuple[str, ...], done: subprocess.CompletedProcess[str]) -> None:
        super().__init__(f"tollgate {' '.join(words)} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
        self.code = done.returncode
        self.stderr = done.stderr


def run(*words: str, config: Path | str | None = None, timeout: float = PATIENCE,
        environment: dict[str, str] | None = None, check: bool = False) -> subprocess.CompletedProcess[str]:
    """One command of the program, whatever becomes of it."""
    command = [BINARY, *words, *(["-c", str(config)] if config else [])]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout * SLOWER,
                          env={**os.environ, **(environment or {})}, check=False)
    if check and done.returncode != 0:
        raise CommandFailed(words, done)
    return done


class Gateway:
    """What every test may ask of a running gateway, however it was started."""

    started: list[Gateway] = []     # by the present test, or running: whose logs are shown when it fails

    def __init__(self, state: Path) -> None:
        self.state = state
        self.log = state.parent / f"{state.name}.log"
        self.process: Process | None = None
        self.api = self.console = ""
        self.ca = self.config = Path()
        self.key = ""
        self.account = "demo"
        self.model = "demo/echo"
        Gateway.started.append(self)

    # --- the command line

    def cli(self, *words: str, timeout: float = PATIENCE) -> list[Any]:
        """A command with --json: what it printed, one object for each line."""
        done = run(*words, "--json", config=self.config, timeout=timeout, check=True)
        return [json.loads(line, parse_float=reject_float) for line in done.stdout.splitlines()]

    def cli_one(self, *words: str, timeout: float = PATIENCE) -> Any:
        lines = self.cli(*words, timeout=timeout)
        assert len(lines) == 1, f"tollgate {' '.join(words)} --json printed {len(lines)} lines, not one"
        return lines[0]

    def refused(self, *words: str, code: int = 1) -> str:
        """A command that must fail, with one sentence and nothing on stdout: that sentence."""
        done = run(*words, config=self.config)
        assert done.returncode == code, f"tollgate {' '.join(words)} ended with {done.returncode}: {done}"
        assert done.stdout == "", "a failed command must print nothing on stdout"
        assert done.stderr.strip(), "a failed command must say why"
        return done.stderr.strip()

    def refused_or_done(self, *words: str) -> str:
        """What a command says on stderr, whatever becomes of it."""
        return run(*words, config=self.config).stderr

    def events(self, account: str | None = None) -> list[Any]:
        """The events of an account, or of all, oldest first, after all of them have reached Redis."""
        self.ship()
        listed = self.cli("usage", "list", "--limit", "10000", *(["--account", account] if account else []))
        assert len(listed) < 10000, "there may be more than were asked for"
        assert len({event["request_id"] for event in listed}) == len(listed), "a request id is listed twice"
        return listed[::-1]

    def listed(self, *words: str) -> list[Any]:
        """What a command lists, as soon as it can be shown: after a loss or a rebuild not all writers are back at once."""
        def shown() -> tuple[list[Any]] | None:
            try:
                return (self.cli(*words),)
            except CommandFailed as failed:
                assert "Redis is being brought up to the journals" in failed.stderr, failed
                return None
        return wait_until(shown, f"the list of {words[0]} is shown")[0]

    def suspense(self) -> list[Any]:
        return self.listed("suspense", "list")

    def ship(self) -> None:
        self.cli("journal", "ship")

    def account_state(self, account: str | None = None) -> Any:
        return self.cli_one("account", "show", account or self.account)

    def balance(self, account: str | None = None) -> Decimal:
        return Decimal(self.account_state(account)["balance"])

    def settle_down(self, account: str | None = None, timeout: float = PATIENCE) -> Any:
        """Waits until no call of the account is open and no hold is left; returns its state."""
        def idle() -> Any:
            state = self.account_state(account)
            return state if state["open_calls"] == 0 and Decimal(state["held"]) == 0 else None
        return wait_until(idle, "no open call and no hold is left", timeout)

    def begun(self) -> set[str]:
        """The calls that have a BEGIN in what the journals have open: of these the death of their worker is the end."""
        journal = b"".join(path.read_bytes() for path in (self.state / "journal").glob("*/*.open"))
        return {found.decode() for found in re.findall(rb'"kind":"begin",.*?"request_id":"(req_[0-9a-f]+)"', journal, re.DOTALL)}

    def new_account(self, credit: str | None = None, *options: str) -> tuple[str, str]:
        """A fresh account in CNY and a key of it: (id, key)."""
        account = f"t-{uuid.uuid4().hex[:12]}"
        self.cli("account", "create", account, "--currency", "CNY", *(options or ("--prepaid",)))
        if credit is not None:
            self.cli("account", "credit", account, credit)
        return account, self.cli_one("key", "create", account)["secret"]

    # --- the API

    @functools.cached_property
    def tls(self) -> ssl.SSLContext:
        """Trusts the gateway's own authority and no other, and checks names."""
        return ssl.create_default_context(cafile=str(self.ca))

    def client(self, key: str | None = None, **options: Any) -> openai.OpenAI:
        """The official SDK, without retries unless asked for."""
        import openai       # here: the chaos harness uses this file too, with nothing but the standard library

        http_client = openai.DefaultHttpxClient(verify=self.tls, trust_env=False)
        options = {"max_retries": 0, "timeout": PATIENCE * SLOWER, **options}
        return openai.OpenAI(base_url=f"{self.api}/v1", api_key=key or self.key, http_client=http_client, **options)

    def wire(self, key: str | None = None, timeout: float = PATIENCE) -> Wire:
        """A connection on which a test writes bytes as it likes."""
        host, port = self.address
        return Wire(host, port, self.tls, key or self.key, timeout * SLOWER)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.api.removeprefix("https://").rpartition(":")
        return host, int(port)

    def get(self, path: str, key: str | None = None, base: str | None = None) -> Any:
        status, body = self.try_get(path, key, base)
        assert status == 200, f"GET {path}: {status} {body}"
        return body

    def try_get(self, path: str, key: str | None = None, base: str | None = None) -> tuple[int, Any]:
        """Status and body of a GET on the API, or on the console when `base` says so."""
        host, _, port = (base or self.api).removeprefix("https://").rpartition(":")
        connection = http.client.HTTPSConnection(host, int(port), timeout=PATIENCE * SLOWER, context=self.tls)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Authorization": f"Bearer {key or self.key}"})
            answer = connection.getresponse()
            body = answer.read().decode()
            if "json" in answer.headers.get("content-type", ""):
                return answer.status, json.loads(body, parse_float=reject_float)
            return answer.status, body

    def is_ready(self) -> bool:
        try:
            return self.try_get("/readyz")[0] == 200
        except OSError:
            return False

    def wait_ready(self) -> None:
        """Until each of the workers that serve has said so, and the console has what commands need. A connection reaches any
        of the workers, so there are as many as it takes."""
        ready: set[int] = set()

        def all_are_ready() -> bool:
            workers = self.workers()
            for _ in range(4):
                ready.update(self.ready_among(workers))
            return len(ready & set(workers)) >= self.worker_count()
        wait_until(all_are_ready, "every worker is ready")
        wait_until(self.is_console_ready, "the console is ready")

    def worker_count(self) -> int:
        """As it said when it started."""
        said = re.findall(r" with (\d+) workers", self.log_text())
        return int(said[-1]) if said else 1

    def ready_among(self, workers: list[int]) -> list[int]:
        """The worker that a connection reaches, if it is ready."""
        try:
            with self.wire() as wire:
                if wire.ask(wire.head("GET", "/readyz"), "GET").status != 200:
                    return []
                inodes = sockets_between(self.address[1], wire.raw_port)
                return [pid for pid in workers if holds_socket(pid, inodes)]
        except OSError:
            return []

    def is_console_ready(self) -> bool:
        connection = http.client.HTTPConnection("localhost")
        with contextlib.closing(connection), socket.socket(socket.AF_UNIX) as connection.sock:
            try:
                connection.sock.settimeout(PATIENCE * SLOWER)
                connection.sock.connect(str(self.state / "admin.sock"))
                connection.request("GET", "/admin/v1/status")
                said = json.load(connection.getresponse())
            except (OSError, http.client.HTTPException):
                return False
        return all(said[part] for part in ("redis", "recovered", "catalogue"))

    # --- processes

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def reload(self) -> None:
        """Until the new config is in force and nothing is there any more that ran before."""
        before = self.log_text().count('"event":"all_reloaded"')
        os.kill(self.pid, signal.SIGHUP)
        wait_until(lambda: self.log_text().count('"event":"all_reloaded"') > before, "what ran before has ended")

    def children(self, name: str) -> list[int]:
        """Those that live: one that has ended and was not waited for yet is none."""
        assert self.process
        return [pid for pid in self.process.family()
                if parent_of(pid) == self.pid and name in command_of(pid) and not is_gone(pid)]

    def workers(self) -> list[int]:
        return sorted(self.children("worker"))

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        if self.process:
            process, self.process = self.process, None
            code = process.stop(timeout)
            assert code == 0, f"it ended with {code} after SIGTERM"

    def kill(self) -> None:
        """SIGKILL to the first process alone; its children must die with it."""
        assert self.process
        process, self.process = self.process, None
        process.stop(sign=signal.SIGKILL)

    def log_text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None:
            self.stop()
        elif self.process:          # do not hide the failure behind one of stopping
            self.process.kill_all()
            self.process = None


def reject_float(text: str) -> Any:
    raise AssertionError(f"{text} is a JSON real; money and counts never are")


class Dev(Gateway):
    """`tollgate dev`, whose ready line says everything."""

    def start(self, *options: str, environment: dict[str, str] | None = None) -> Dev:
        assert not self.process, "it runs already"
        command = [BINARY, "dev", "--state", str(self.state), "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0",
                   "--workers", "2", *options]
        self.process = Process(command, self.log, stdout=subprocess.PIPE, environment=environment)
        try:
            self.ready = self._read_ready_line()
        except BaseException:
            self.process.kill_all()
            self.process = None
            raise
        for name in ("api", "console", "key", "account", "creator"):
            setattr(self, name, self.ready[name])
        self.ca, self.config = Path(self.ready["ca"]), Path(self.ready["config"])
        self.__dict__.pop("tls", None)
        assert self.ready["pid"] == self.process.pid, "`pid` is not the process that was started"
        self.wait_ready()
        return self

    def _read_ready_line(self) -> Any:
        assert self.process and self.process.popen.stdout
        out, line, deadline = self.process.popen.stdout.fileno(), b"", time.monotonic() + START_SECONDS
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([out], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no ready line after {START_SECONDS} s; stdout so far: {line!r}\n{self.log_text()[-3000:]}"
            more = os.read(out, 65536)
            assert more, f"it ended before it was ready; stdout: {line!r}\n{self.log_text()[-3000:]}"
            line += more
        assert line.count(b"\n") == 1, f"more than one line on stdout: {line!r}"
        return json.loads(line)

    def restart(self, *options: str) -> Dev:
        self.stop()
        return self.start(*options)

    @property
    def redis_socket(self) -> str:
        return self.ready["redis"].removeprefix("unix:")


class Redis:
    """A redis-server of the test's own, durable as the manual asks, on a unix socket."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.socket = folder / "redis.sock"
        self.log = folder / "redis.log"
        self.process: Process | None = None

    def start(self, *options: str, wait: bool = True) -> Redis:
        assert not self.process
        self.socket.unlink(missing_ok=True)
        command = ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700",
                   "--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "everysec", "--save", "",
                   "--maxmemory-policy", "noeviction", "--logfile", str(self.log), "--daemonize", "no", *options]
        self.process = Process(command, self.log)
        if wait:
            wait_until(lambda: self.command("PING") == "PONG", "redis-server answers")
        return self

    def command(self, *words: str) -> str:
        done = subprocess.run(["redis-cli", "-s", str(self.socket), *words], capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        return done.stdout.strip()

    def has_rewritten(self) -> bool:
        """A rewrite of its file was begun since it started, and has ended."""
        return self._rewrites() > 0

    def rewrite(self) -> None:
        """Writes its file anew, beginning now."""
        wait_until(lambda: self._rewrites() >= 0, "no other rewrite goes on")
        before = self._rewrites()
        self.command("BGREWRITEAOF")
        wait_until(lambda: self._rewrites() > before, "its file was rewritten")

    def _rewrites(self) -> int:
        """How many have ended well since it started; -1 while one goes on."""
        said = dict(line.split(":", 1) for line in self.command("INFO", "persistence").splitlines() if ":" in line)
        is_over = (said["aof_rewrite_in_progress"], said["aof_last_bgrewrite_status"]) == ("0", "ok")
        return int(said["aof_rewrites"]) if is_over else -1

    def kill(self) -> None:
        assert self.process
        process, self.process = self.process, None
        process.stop(sign=signal.SIGKILL)

    def cut_tail(self, size: int) -> int:
        """Cuts up to `size` bytes from the end of the append-only file, as a crash of the machine would; how many."""
        last = max((self.folder / "appendonlydir").glob("*.incr.aof"), key=lambda part: int(part.name.split(".")[-3]))
        kept = max(0, last.stat().st_size - size)
        lost = last.stat().st_size - kept
        os.truncate(last, kept)
        return lost

    def stop(self) -> None:
        if self.process:
            process, self.process = self.process, None
            process.stop()


class Served(Gateway):
    """`tollgate serve`, set up as an operator would: config, catalogue, account, keys."""

    def __init__(self, state: Path, certificate: tuple[Path, Path]) -> None:
        super().__init__(state)
        self.ca, self.certificate_key = certificate
        self.config = state.parent / f"{state.name}.conf"
        self.redis = Redis(state.parent / f"{state.name}-redis")
        self.options: dict[str, Any] = {}
        self.backends: dict[str, dict[str, Any]] = {"echo": {"kind": "echo"}}
        self.owns_redis = True
        self.port, self.console_port = free_port(), free_port()
        self.api, self.console = f"https://127.0.0.1:{self.port}", f"https://127.0.0.1:{self.console_port}"

    def write_config(self) -> None:
        values = {
            "listen": f"127.0.0.1:{self.port}", "console": f"127.0.0.1:{self.console_port}",
            "certificate": str(self.ca), "certificate_key": str(self.certificate_key), "state": str(self.state),
            "redis": f"unix:{self.redis.socket}", "workers": 2, **UNHURRIED, **self.options,
        }
        text = "".join(f"{name} = {spell(value)}\n" for name, value in values.items())
        for name, options in self.backends.items():
            text += f'backend "{name}" {{\n'
            text += "".join(f"    {option} = {spell(value)}\n" for option, value in options.items()) + "}\n"
        self.config.write_text(text)

    def join(self, first: Served) -> Served:
        """Makes it a second host of the installation of `first`, which has started once: the files that the manual names
        are copied, Redis, archive and backends are the same, journal and state its own. Call serve() then."""
        self.state.mkdir(mode=0o700)
        for name in JOINING_FILES:
            shutil.copy(first.state / name, self.state / name)
        self.redis, self.owns_redis = first.redis, False
        self.options = {**first.options, "archive": str(first.archive), **self.options}
        self.backends = first.backends
        self.key, self.account, self.model = first.key, first.account, first.model
        self.write_config()
        return self

    @property
    def archive(self) -> Path:
        return Path(self.options.get("archive", self.state / "archive"))

    def start(self, *, wait: bool = True) -> Served:
        self.write_config()
        if not self.redis.process:
            self.redis.start()
        return self.serve(wait=wait)

    def serve(self, *, wait: bool = True) -> Served:
        """Starts the gateway alone, with Redis as it is."""
        assert not self.process
        self.process = Process([BINARY, "serve", "-c", str(self.config)], self.log)
        if wait:
            wait_until(self.is_alive, "API and console answer")
        return self

    def is_alive(self) -> bool:
        assert self.process and self.process.popen.poll() is None, f"it ended: {self.log_text()[-3000:]}"
        try:
            return self.try_get("/healthz")[0] == self.try_get("/healthz", base=self.console)[0] == 200
        except OSError:
            return False

    def set_up(self, credit: str = "100", models: list[dict[str, Any]] | None = None,
               prices: dict[str, dict[str, str]] | None = None) -> Served:
        """Catalogue, the account demo with its credit, a key for it and one for the creator demo."""
        wait_until(lambda: run("apply", str(self.write_catalogue(models, prices)), config=self.config).returncode == 0,
                   "the catalogue can be applied")
        self.cli("account", "create", "demo", "--currency", "CNY", "--prepaid")
        self.cli("account", "credit", "demo", credit)
        self.key = self.cli_one("key", "create", "demo")["secret"]
        self.wait_ready()
        return self

    def write_catalogue(self, models: list[dict[str, Any]] | None = None,
                        prices: dict[str, dict[str, str]] | None = None) -> Path:
        prices = prices or {"demo": DEMO_PRICE}
        models = models or [{"id": "demo/echo", "backends": [{"name": "echo", "model": "echo"}]}]
        catalogue = {
            "currency": "CNY",
            "creators": [{"id": "demo", "name": "Demo", "contract": {"share_bp": 7000, "from": "2026-01-01"}}],
            "prices": [{"id": name, "from": "2026-01-01T00:00:00Z", "units": units} for name, units in prices.items()],
            "models": [{"owners": [{"creator": "demo", "weight": 1}], "surfaces": ["chat"], "price": next(iter(prices)),
                        "max_output_tokens": 4096, **model} for model in models],
        }
        path = self.state.parent / f"{self.state.name}-catalogue.json"
        path.write_text(json.dumps(catalogue))
        return path

    def stop(self, timeout: float = STOP_SECONDS) -> None:
        try:
            super().stop(timeout)
        finally:
            self._stop_redis()

    def stop_serving(self) -> None:
        """Stops the gateway; Redis goes on."""
        super().stop()

    def __exit__(self, kind: Any, *rest: Any) -> None:
        super().__exit__(kind, *rest)
        self._stop_redis()

    def _stop_redis(self) -> None:
        if self.owns_redis:
            self.redis.stop()


def spell(value: Any) -> str:
    """As the config writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else f'"{value}"'


def make_certificate(folder: Path, names: str = "DNS:localhost,IP:127.0.0.1") -> tuple[Path, Path]:
    """A certificate for these names that is its own authority, with its key."""
    certificate, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}",
         "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    key.chmod(0o600)
    return certificate, key


def logs() -> Iterator[tuple[str, str]]:
    """The last lines of every gateway that the present test may have used."""
    for gateway in Gateway.started:
        lines = gateway.log_text().splitlines()
        yield f"log of {gateway.state.name}", "\n".join(lines[-60:])


def forget_stopped() -> None:
    Gateway.started[:] = [gateway for gateway in Gateway.started if gateway.process]


def missing_programs() -> list[str]:
    return [name for name in ("redis-server", "redis-cli", "openssl", "promtool", "setpriv", "systemd-analyze")
            if not shutil.which(name)]
