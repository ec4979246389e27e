"""Redis in the ways that people run it, each with what it takes to start it, to reach it, to read it and to heal it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis_servers import Cluster, Sentinels, Server
from tollgate import Redis, wait_until

from .evidence import RedisReader

if TYPE_CHECKING:
    from .stack import Stack


USER = "tollgate"
MAY = "resetchannels -@all ~tg:* +@read +@write -@dangerous +evalsha +script|load +time +info +bgrewriteaof +cluster|slots +asking"


def refused(*answers: str) -> str:
    """What Redis said other than that it was done; "": nothing."""
    return "; ".join(f"Redis says {said or 'nothing'}" for said in answers if said != "OK")


class Alone:
    """One redis-server; every instance reaches it through a proxy of its own."""

    has_proxies = True

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.redis = Redis(stack.folder / "redis")
        self.users = self.redis.folder / "users.acl"
        self.users.touch(0o600)

    def start(self) -> None:
        self.stack.spawn(lambda: self.redis.start("--aclfile", str(self.users)))

    def set_login(self, *rules: str) -> str:
        """Of the gateways' user, and for good; why not, else ""."""
        return refused(self.redis.command("ACL", "SETUSER", USER, *rules), self.redis.command("ACL", "SAVE"))

    def break_connections(self) -> None:
        self.redis.command("CLIENT", "KILL", "USER", USER)

    @property
    def addresses(self) -> list[str | int]:
        return [str(self.redis.socket)]

    def start_again(self) -> str:
        """As an operator does: should it refuse its own file, the file is repaired, and if that fails, it begins empty.
        Says which."""
        for how in ("as it was", "repaired", "empty"):
            if how == "repaired":
                for part in (self.redis.folder / "appendonlydir").glob("*.manifest"):
                    subprocess.run(["redis-check-aof", "--fix", str(part)], input=b"y\n", capture_output=True, check=False)
            elif how == "empty":
                shutil.rmtree(self.redis.folder / "appendonlydir", ignore_errors=True)
            with contextlib.suppress(AssertionError):
                self.start()
                self._wait_loaded()
                return how
            if self.redis.process:
                self.redis.kill()
        raise AssertionError("redis-server does not start, even empty")

    def _wait_loaded(self) -> None:
        deadline = time.monotonic() + 60
        while self.redis.command("PING") != "PONG":
            assert self.redis.process and self.redis.process.popen.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)

    def heal(self) -> list[str]:
        if self.redis.process and self.redis.process.popen.poll() is None:
            return []
        self.redis.process = None
        return [f"Redis had ended; started again: {self.start_again()}"]

    def stop(self) -> None:
        if self.redis.process:
            self.redis.process.kill_all()
            self.redis.process = None


class Several:
    """Servers among which masters move; instances find them by themselves, so no proxy stands between."""

    has_proxies = False

    def __init__(self, stack: Stack, make: Callable[[Path], Sentinels | Cluster], count: int) -> None:
        self.stack, self.make, self.count = stack, make, count
        self.group: Any = None

    def start(self) -> None:
        self.group = self.stack.spawn(lambda: self.make(self.stack.folder / "redis"))

    def set_login(self, *rules: str) -> str:
        """Of the gateways' user on each server, and for good; why not, else ""."""
        if not all(server.process for server in self.servers):
            return "a Redis is away"
        return refused(*(server.command(*words) for server in self.servers
                         for words in (("ACL", "SETUSER", USER, *rules), ("CONFIG", "REWRITE"))))

    def break_connections(self) -> None:
        for server in self.servers:
            server.command("CLIENT", "KILL", "USER", USER)

    @property
    def servers(self) -> list[Server]:
        """Those that hold data."""
        return self.group.servers[:self.count]

    @property
    def masters(self) -> list[Server]:
        return [server for server in self.servers if server.process
                and server.info("replication").get("role") == "master"]

    @property
    def addresses(self) -> list[str | int]:
        """Of the masters: one behind Sentinel, three of a Cluster."""
        return [server.port for server in self.masters]

    def heal(self) -> list[str]:
        gone = [f"the Redis at {server.where} had ended" for server in self.group.servers
                if not server.process or server.process.popen.poll() is not None]
        for server in self.group.servers:
            if not server.process or server.process.popen.poll() is not None:
                server.process = None
                self.stack.spawn(server.start)
        wait_until(lambda: len(self.masters) == (3 if self.count == 6 else 1), "as many masters as there should be", 60)
        return gone

    def stop(self) -> None:
        for server in self.group.servers if self.group else []:
            server.stop()


KINDS: dict[str, Callable[[Stack], Alone | Several]] = {
    "alone": Alone,
    "sentinel": lambda stack: Several(stack, Sentinels, 2),
    "cluster": lambda stack: Several(stack, Cluster, 6),
}


def reader(ledger: Alone | Several) -> RedisReader:
    return RedisReader(ledger.addresses)
