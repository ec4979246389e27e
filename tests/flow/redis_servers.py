"""Redis as people run it, started by hand: single servers with any option, Sentinel, Cluster."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from tollgate import PATIENCE, Process, free_port, wait_until

SLOTS = 16384
DEAD_MS = 5000          # whoever was silent for so long on a busy machine is dead, and no test wants another to take over
DURABLE = {"appendonly": "yes", "appendfsync": "everysec", "save": '""', "maxmemory-policy": "noeviction"}


def make_authority(folder: Path) -> dict[str, Path]:
    """An authority and what it signed: a certificate for 127.0.0.1 and one for a client, each with its key. And another
    authority, a stranger, which signed neither."""
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    files = {name: folder / f"{name}.pem"
             for name in ("ca", "ca-key", "stranger", "stranger-key", "cert", "key", "client", "client-key")}
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *new_key, "-days", "2", "-subj", f"/CN={name}", "-keyout", files[f"{name}-key"],
                "-out", files[name])
    for name, key in (("cert", "key"), ("client", "client-key")):
        request = folder / f"{name}-request.pem"
        openssl("req", *new_key, "-subj", f"/CN={name}", "-keyout", files[key], "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", files["ca"], "-CAkey", files["ca-key"], "-CAcreateserial",
                "-days", "2", "-extfile", names, "-out", files[name])
    return files


def client_certificate(files: dict[str, Path]) -> dict[str, Path]:
    """The gateway's options for servers that ask for one."""
    return {"redis_ca": files["ca"], "redis_certificate": files["client"], "redis_certificate_key": files["client-key"]}


def openssl(*words: Any) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def asking(tls: dict[str, Path] | None) -> dict[str, str]:
    """Options of a server that wants a certificate of its clients, and speaks TLS with other servers as well."""
    return {"tls-auth-clients": "yes", "tls-cluster": "yes"} if tls else {}


class Server:
    """One redis-server on a port of 127.0.0.1. What is asked of it may stay unanswered at the moment it changes its role,
    when its connections are closed."""

    def __init__(self, folder: Path, options: dict[str, Any] | None = None, *, tls: dict[str, Path] | None = None,
                 login: tuple[str, str] | None = None, program: tuple[str, ...] = ("redis-server",)) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.tls, self.login, self.program = folder, tls, login, program
        self.port = free_port()
        self.config = folder / "redis.conf"
        self.log = folder / "redis.log"
        self.process: Process | None = None
        ports: dict[str, Any] = {"port": self.port}
        if tls:
            ports = {"port": 0, "tls-port": self.port, "tls-auth-clients": "no", "tls-cert-file": tls["cert"],
                     "tls-key-file": tls["key"], "tls-ca-cert-file": tls["ca"], "tls-replication": "yes"}
        self.options = {"bind": "127.0.0.1", "dir": folder, **ports, **(options or {})}

    @property
    def where(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> Self:
        assert not self.process
        if not self.config.exists():        # sentinels and clusters write into theirs
            self.config.write_text("".join(f"{name} {value}\n" for name, value in self.options.items()))
        self.process = Process([self.program[0], str(self.config), *self.program[1:]], self.log)
        wait_until(lambda: self.answers(), f"redis-server answers, see {self.log}")
        return self

    def answers(self) -> bool:
        return self.command("PING") == "PONG"

    def command(self, *words: str, timeout: float = PATIENCE) -> str:
        cli = ["redis-cli", "-p", str(self.port)]
        if self.tls:
            cli += ["--tls", "--cacert", str(self.tls["ca"]), "--cert", str(self.tls["client"]),
                    "--key", str(self.tls["client-key"])]
        if self.login:
            cli += ["--user", self.login[0], "--pass", self.login[1], "--no-auth-warning"]
        done = subprocess.run([*cli, *words], capture_output=True, text=True, timeout=timeout, check=False)
        return done.stdout.strip()

    def must(self, *words: str) -> str:
        said = self.command(*words)
        assert not said.startswith(("ERR", "WRONG", "NO")), f"{' '.join(words)}: {said}"
        return said

    def info(self, section: str) -> dict[str, str]:
        return self.said("INFO", section)

    def said(self, *words: str) -> dict[str, str]:
        """What is answered in lines of name:value."""
        return dict(line.split(":", 1) for line in self.command(*words).splitlines() if ":" in line)

    def kill(self) -> None:
        assert self.process
        process, self.process = self.process, None
        process.stop(sign=signal.SIGKILL)

    def stop(self) -> None:
        if self.process:
            process, self.process = self.process, None
            process.kill_all()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *rest: Any) -> None:
        self.stop()


class Group:
    """Servers that end together."""

    def __init__(self) -> None:
        self.servers: list[Server] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *rest: Any) -> None:
        for server in self.servers:
            server.stop()

    def add(self, server: Server) -> Server:
        self.servers.append(server)
        return server.start()


class Sentinels(Group):
    """A master, a replica, and three sentinels that agree soon after a server was silent for so long. With `tls`
    (make_authority()) all of them ask for certificates."""

    def __init__(self, folder: Path, tls: dict[str, Path] | None = None, *, silence_ms: int = 700) -> None:
        super().__init__()
        options = {**DURABLE, **asking(tls)}
        self.master = self.add(Server(folder / "master", options, tls=tls))
        self.replica = self.add(Server(folder / "replica", {**options, "replicaof": f"127.0.0.1 {self.master.port}"}, tls=tls))
        wait_until(lambda: self.replica.info("replication").get("master_link_status") == "up", "the replica follows")
        self.sentinels = [self.add(Server(folder / f"sentinel{number}", {
            **asking(tls), "sentinel monitor": f"books 127.0.0.1 {self.master.port} 2",
            "sentinel down-after-milliseconds": f"books {silence_ms}", "sentinel failover-timeout": "books 4000",
        }, tls=tls, program=("redis-server", "--sentinel"))) for number in range(3)]
        for sentinel in self.sentinels:
            wait_until(lambda sentinel=sentinel: "num-other-sentinels\n2\n" in self.view_of(sentinel)
                       and "num-slaves\n1\n" in self.view_of(sentinel), "the sentinels know each other")
        scheme = "rediss-sentinel" if tls else "redis-sentinel"
        self.address = f"{scheme}://{','.join(sentinel.where for sentinel in self.sentinels)}/books"

    @staticmethod
    def view_of(sentinel: Server) -> str:
        return sentinel.command("SENTINEL", "MASTER", "books") + "\n"


class Cluster(Group):
    """Three masters, each with a replica, which takes over when its master was silent for so long: servers[0..2] and
    servers[3..5]. With `tls` (make_authority()) all of them ask for certificates."""

    def __init__(self, folder: Path, tls: dict[str, Path] | None = None, *, silence_ms: int = 1500) -> None:
        super().__init__()
        for number in range(6):
            self.servers.append(Server(folder / f"node{number}", {
                **DURABLE, **asking(tls), "cluster-enabled": "yes", "cluster-node-timeout": silence_ms,
                "cluster-config-file": "nodes.conf", "cluster-port": free_port(), "cluster-require-full-coverage": "no",
                "cluster-replica-validity-factor": "0", "repl-diskless-sync-delay": "0",
            }, tls=tls))
        for server in self.servers:
            server.start()
        self.ids = [server.must("CLUSTER", "MYID") for server in self.servers]
        for number in range(3):
            first, last = SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1
            self.servers[number].must("CLUSTER", "ADDSLOTSRANGE", str(first), str(last))
        for server in self.servers[1:]:
            server.must("CLUSTER", "MEET", "127.0.0.1", str(self.servers[0].port),
                        str(self.servers[0].options["cluster-port"]))
        for server in self.servers:
            wait_until(lambda server=server: server.said("CLUSTER", "INFO").get("cluster_known_nodes") == "6", "all have met")
        for number in range(3):
            self.servers[3 + number].must("CLUSTER", "REPLICATE", self.ids[number])
        for server in self.servers:
            wait_until(lambda server=server: server.said("CLUSTER", "INFO").get("cluster_state") == "ok", "the cluster is well")
        for server in self.servers[3:]:
            wait_until(lambda server=server: server.info("replication").get("master_link_status") == "up",
                       "the replicas follow")
        scheme = "rediss-cluster" if tls else "redis-cluster"
        self.address = f"{scheme}://{self.servers[0].where},{self.servers[4].where}"

    def slot_of(self, partition: str) -> int:
        return int(self.servers[0].must("CLUSTER", "KEYSLOT", f"tg:{{{partition}}}:state"))

    def masters(self) -> list[Server]:
        return [server for server in self.servers if server.process and server.info("replication").get("role") == "master"]

    def replica_of(self, master: Server) -> Server:
        return next(server for server in self.servers
                    if server.process and server.info("replication").get("master_port") == str(master.port))

    def master_of(self, slot: int) -> Server:
        """By the view of the masters themselves."""
        for server in self.masters():
            mine = [line for line in server.must("CLUSTER", "NODES").splitlines() if "myself" in line][0].split()
            for span in mine[8:]:
                first, _, last = span.partition("-")
                if not span.startswith("[") and int(first) <= slot <= int(last or first):
                    return server
        raise AssertionError(f"nobody has slot {slot}")

    def move_slot(self, slot: int, target: Server, at_half: Callable[[], None] = lambda: None) -> None:
        """As redis-cli --cluster reshard does it; `at_half` runs while some keys are here and some there."""
        source = self.master_of(slot)
        ids = {server.port: server.must("CLUSTER", "MYID") for server in (source, target)}
        target.must("CLUSTER", "SETSLOT", str(slot), "IMPORTING", ids[source.port])
        source.must("CLUSTER", "SETSLOT", str(slot), "MIGRATING", ids[target.port])
        while keys := source.must("CLUSTER", "GETKEYSINSLOT", str(slot), "3").split():
            said = source.command("MIGRATE", "127.0.0.1", str(target.port), "", "0", "60000", "KEYS", *keys)
            assert said in ("OK", "NOKEY"), said       # they may have expired meanwhile
            at_half()
        for server in (target, source):
            server.must("CLUSTER", "SETSLOT", str(slot), "NODE", ids[target.port])
