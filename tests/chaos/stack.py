"""The real stack: one Redis, one archive, two gateway instances of one installation, model servers, proxies between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import tollgate
from tollgate import BINARY, Gateway, Process, free_port, run, spell, wait_until

from . import ledgers, world
from .certificates import Authority, Shown, replace
from .ledgers import KINDS, Alone
from .proxy import Proxy, to_port, to_unix
from .shim import Shim
from .upstream import Upstream

if TYPE_CHECKING:
    from .clients import Client

T = TypeVar("T")
NAMES = ("north", "south")
SHARED = ("installation.json", "pepper", "derivation.key", "signing.pem", "operator.token", "finance.token")
JOURNAL_MIB, JOURNAL_MIB_A_MINUTE = 24, 2     # of an instance's disk: nothing leaves a journal before its month is closed
REBUILD_SECONDS = 600
RELOAD_SECONDS = 600    # in which a host that is asked again and again has read its files, whatever else is broken meanwhile


class Traffic:
    """An event loop in a thread of its own: clients, proxies and model servers live there."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def do(self, work: Coroutine[Any, Any, T], timeout: float | None = 60) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)


class Instance(Gateway):
    """One `tollgate serve` with a state and a journal's disk of its own."""

    def __init__(self, stack: Stack, name: str) -> None:
        super().__init__(stack.folder / name)
        self.stack, self.name = stack, name
        self.config = stack.folder / f"{name}.conf"
        self.ca = stack.authority.ca
        self.certificate, self.certificates = stack.folder / f"{name}.pem", list[Shown]()
        self.redis_password_file = stack.folder / f"{name}-redis.password"
        self.is_asking = threading.Lock()       # for a reload that has not begun yet
        self.port, self.console_port = free_port(), free_port()
        self.api, self.console = f"https://127.0.0.1:{self.port}", f"https://127.0.0.1:{self.console_port}"
        self.journal = stack.folder / f"{name}-journal"
        self.is_own_disk = False
        self.shim = Shim(stack.folder / f"{name}-shim", self.journal)
        self.redis_link: Proxy | None = None        # none where masters move
        self.redis_address = ""
        self.model_links: dict[str, Proxy] = {}
        self.clock_ms = 0

    def prepare(self) -> None:
        """A small file system of its own for the journal, when that may be had."""
        self.state.mkdir(mode=0o700)
        self.is_own_disk = mount(self.journal, self.stack.disk_mib)
        self.certificates.append(self.stack.authority.renew(self.certificate))
        self.certificates[0].in_force = self.certificates[0].written
        replace(self.redis_password_file, self.stack.redis_password + "\n")
        traffic, upstream = self.stack.traffic, self.stack.upstream
        ledger = self.stack.ledger
        if isinstance(ledger, Alone):
            self.redis_link = traffic.do(Proxy(f"{self.name}-redis", traffic.loop,
                                               to_unix(str(ledger.redis.socket))).start())
            self.redis_address = f"redis://127.0.0.1:{self.redis_link.port}"
        else:
            self.redis_address = ledger.group.address
        self.model_links = {name: traffic.do(Proxy(f"{self.name}-{name}", traffic.loop, to_port(port)).start())
                            for name, port in upstream.ports.items()}

    def write_config(self) -> None:
        values: dict[str, Any] = {
            "listen": f"127.0.0.1:{self.port}", "console": f"127.0.0.1:{self.console_port}",
            "certificate": str(self.certificate), "certificate_key": str(self.certificate),
            "state": str(self.state), "journal": str(self.journal), "archive": str(self.stack.archive),
            "redis": self.redis_address, "redis_user": ledgers.USER, "redis_password_file": str(self.redis_password_file),
            "redis_timeout": "1 s", "recovering_wait": "3 s",
            "workers": 2, "drain_timeout": "5 s", "journal_segment": "256 KiB", "changes_age": "15 s", "testing": True,
            "recent_time": "5 s", "recent_calls": 10, "clock_offset": self.clock_ms,
        }
        text = "".join(f"{name} = {spell(value)}\n" for name, value in values.items())
        for name, link in self.model_links.items():
            text += (f'backend "{name}" {{\n    kind = openai\n    url = "http://127.0.0.1:{link.port}/v1"\n'
                     '    connect_timeout = "2 s"\n    first_byte_timeout = "8 s"\n    idle_timeout = "8 s"\n'
                     '    breaker_time = "2 s"\n}\n')
        self.config.write_text(text)

    @property
    def links(self) -> list[Proxy]:
        return [*([self.redis_link] if self.redis_link else []), *self.model_links.values()]

    def stop_in_order(self) -> None:
        """SIGTERM, as soon as it can take one."""
        self.wait_alive()
        self.stop(60)

    def serve(self) -> None:
        assert not self.process
        self.write_config()
        self.process = self.stack.spawn(lambda: Process([BINARY, "serve", "-c", str(self.config)], self.log,
                                                        environment=self.shim.environment))

    def wait_alive(self) -> None:
        wait_until(self.is_alive, f"{self.name} answers", 60)

    def is_alive(self) -> bool:
        try:
            return self.try_get("/healthz")[0] == 200
        except OSError:
            return False

    def is_serving(self) -> bool:
        return self.process is not None and self.process.popen.poll() is None

    def stop_at_last(self) -> None:
        """However it stands."""
        if self.process:
            with contextlib.suppress(AssertionError):
                self.process.kill_all()
            self.process = None
        if self.is_own_disk:
            unmount(self.journal)
            self.is_own_disk = False

    # --- a reload

    def reload_whole(self, over: threading.Event) -> bool:
        """Until nothing of it runs that has not read its files as they are now: everything has been reloaded, or its master
        was started since. False: the time was over before."""
        deadline = time.monotonic() + RELOAD_SECONDS
        first = None
        while not over.is_set():
            first = first or self.process
            if first and self.process is first and self._reload(first, over):
                return True
            if first and self.process not in (None, first):
                self.wait_alive()
                return True
            assert time.monotonic() < deadline, f"{self.name} was not reloaded within {RELOAD_SECONDS} s"
            over.wait(0.1)
        return False

    def ask_to_reload(self, process: Process) -> Tail | None:
        """Its log, from where it begins to; None: it can't be asked, or refused."""
        with self.is_asking:
            tail = Tail(self.log, lambda: self.process is process)
            if not is_caught(process.pid, signal.SIGHUP):
                return None
            os.kill(process.pid, signal.SIGHUP)
            return tail if tail.wait("reloading", "reload_refused") == "reloading" else None

    def _reload(self, process: Process, over: threading.Event) -> bool:
        with contextlib.suppress(ProcessLookupError):
            tail = self.ask_to_reload(process)
            return bool(tail and tail.wait("reloaded", "reload_given_up") == "reloaded" and tail.wait("all_reloaded"))
        return False


class Tail:
    """What a log is going to say, as long as `goes_on`."""

    def __init__(self, path: Path, goes_on: Callable[[], bool]) -> None:
        self.file = path.open("rb")
        self.file.seek(0, os.SEEK_END)
        self.goes_on, self.line = goes_on, b""

    def wait(self, *events: str, timeout: float = 90) -> str | None:
        """The first of these events; None: it did not come."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            goes_on = self.goes_on()
            while self._next_line():
                line, self.line = self.line, b""
                for event in events:
                    if f'"event":"{event}"'.encode() in line:
                        return event
            if not goes_on:
                return None
            time.sleep(0.05)
        return None

    def _next_line(self) -> bool:
        self.line += self.file.readline()
        return self.line.endswith(b"\n")


def is_caught(pid: int, sign: signal.Signals) -> bool:
    """A process that is about to run its program would die of it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (sign - 1) & 1)


def mount(path: Path, mib: int) -> bool:
    """A small file system of its own, when that may be had."""
    path.mkdir(mode=0o700)
    return os.geteuid() == 0 and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=0700", "tollgate-chaos", str(path)],
        capture_output=True, check=False).returncode == 0


def unmount(path: Path) -> None:
    wait_until(lambda: subprocess.run(["umount", str(path)], capture_output=True, check=False).returncode == 0,
               f"{path} is unmounted")


class Stack:
    def __init__(self, folder: Path, seed: int, minutes: float, kind: str) -> None:
        self.folder, self.seed = folder, seed
        self.archive = folder / "archive"
        self.disk_mib = int(JOURNAL_MIB + JOURNAL_MIB_A_MINUTE * minutes)
        self.traffic = Traffic()
        self.upstream = Upstream(seed)
        self.ledger = KINDS[kind](self)
        self.instances: dict[str, Instance] = {}
        self.keys: dict[str, tuple[str, str]] = {}      # client -> account, key
        self.clients: list[Client] = []
        self.creations: dict[str, float] = {}           # operation -> since when a key is being made, and was not yet
        self.redis_password = uuid.uuid4().hex
        self.has_archive_disk = False
        self.lost: set[str] = set()         # request ids that went with a journal, on purpose
        self.in_doubt: set[str] = set()     # and those that went with it unless Redis or the archive still has them
        self.destroyed: dict[str, dict[str, tuple[int, str]]] = {}      # writer -> heads of a journal that had shipped everything
        self.only_copy = threading.Lock()   # held while Redis alone has what a destroyed journal had, or Redis loses things
        self.spawner = ThreadPoolExecutor(1)

    def spawn(self, start: Callable[[], T]) -> T:
        """What is started dies with the thread that started it (PR_SET_PDEATHSIG), so all is started by one that stays."""
        return self.spawner.submit(start).result()

    def start(self) -> None:
        """Everything, to the point where calls succeed on both instances."""
        self.authority = Authority(self.folder / "authority")
        self.traffic.do(self.upstream.start())
        self.ledger.start()
        refused = self.ledger.set_login("on", f">{self.redis_password}", *ledgers.MAY.split())
        assert not refused, refused
        self.has_archive_disk = mount(self.archive, 2 * self.disk_mib)
        for name in NAMES:
            self.instances[name] = Instance(self, name)
            self.instances[name].prepare()
        first, second = self.instances.values()
        first.serve()
        first.wait_alive()
        for name in SHARED:
            shutil.copy2(first.state / name, second.state / name)
        second.serve()
        second.wait_alive()
        self._set_up(first)
        for instance in self.instances.values():
            instance.key = next(iter(self.keys.values()))[1]
            instance.wait_ready()

    def _set_up(self, instance: Instance) -> None:
        catalogue = world.write_catalogue(self.folder / "catalogue.json")
        wait_until(lambda: run("apply", str(catalogue), config=instance.config).returncode == 0, "the catalogue applies",
                   30)
        for account in world.ACCOUNTS:
            mode = "--prepaid" if account.is_prepaid else "--postpaid"
            zone = ["--zone", account.own_zone] if account.own_zone else []
            instance.cli("account", "create", account.name, "--currency", "CNY", mode, *account.options, *zone)
            for number in range(account.clients):
                secret = instance.cli_one("key", "create", account.name, *account.key_options)["secret"]
                self.keys[f"{account.name}-{number}"] = (account.name, secret)
            if account.budgets:
                instance.cli("account", "limit", account.name, *account.budgets)

    @property
    def doors(self) -> dict[str, int]:
        return {name: instance.port for name, instance in self.instances.items()}

    def rebuild(self) -> str:
        """Replays everything that was ever written, from both hosts; tried again while a host can't."""
        deadline = time.monotonic() + REBUILD_SECONDS
        for instance in self.instances.values():
            while True:
                done = run("journal", "rebuild", config=instance.config, timeout=120)
                if done.returncode == 0 or time.monotonic() > deadline:
                    break
                time.sleep(1)
            assert done.returncode == 0, f"journal rebuild on {instance.name}: {done.stderr}"
        return "rebuilt"

    def stop(self) -> None:
        for instance in self.instances.values():
            instance.stop_at_last()
        if self.has_archive_disk:
            self._keep_archive()
        self.ledger.stop()
        self.spawner.shutdown()
        self.traffic.stop()
        tollgate.forget_stopped()

    def _keep_archive(self) -> None:
        """What stood on its small disk stays where it was."""
        kept = self.folder / "archive-kept"
        shutil.copytree(self.archive, kept)
        unmount(self.archive)
        self.archive.rmdir()
        kept.rename(self.archive)
        self.has_archive_disk = False
