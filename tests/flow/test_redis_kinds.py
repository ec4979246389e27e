"""Redis as people run it: over TLS, with a user of few rights, behind Sentinel, as a Cluster; busy, full, read-only,
still loading, without scripts. Whatever it does, calls are billed once."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import money
from load import Load, check_billed, check_refused, pages
from redis_servers import DURABLE, Cluster, Sentinels, Server
from tollgate import TOP, Served, wait_until

MODELS = [{"id": "demo/fast", "backends": [{"name": "fast"}]}]


@pytest.fixture
def point_at(served: Served) -> Callable[..., Served]:
    """A gateway with this Redis, which has everything it needs and is ready."""
    def point(address: str, **options: Any) -> Served:
        served.backends = {"fast": {"kind": "echo"}}
        served.options = {"redis": address, "redis_timeout": "700 ms", "recovering_wait": "10 s", **options}
        served.owns_redis = False
        served.write_config()
        return served.serve().set_up("100", MODELS)
    return point


class Customers:
    """Accounts in several partitions, all calling at once."""

    def __init__(self, gateway: Served, count: int) -> None:
        self.gateway = gateway
        self.accounts = [gateway.new_account("10") for _ in range(count)]
        self.loads = [Load(gateway, key, 2) for _, key in self.accounts]

    @property
    def partitions(self) -> list[str]:
        """An account's partition stands in its key."""
        return [f"a{key.removeprefix('sk-tg-')[:2]}" for _, key in self.accounts]

    def __enter__(self) -> Customers:
        for load in self.loads:
            load.__enter__()
        return self

    def __exit__(self, *rest: Any) -> None:
        for load in self.loads:
            load.is_over.set()
        for load in self.loads:
            load.__exit__()

    def wait_for_more(self, count: int, timeout: float = 30) -> None:
        before = [len(load.answered) for load in self.loads]
        wait_until(lambda: all(len(load.answered) >= was + count for load, was in zip(self.loads, before)),
                   f"each account has {count} more calls", timeout)

    def check(self) -> None:
        """Each call that was answered is billed once; no hold is left; and what accounts paid is what creators earned."""
        for (account, key), load in zip(self.accounts, self.loads):
            check_refused(load.refused)
            check_billed(self.gateway, account, key, load.answered)
        paid = money.total(event for _, key in self.accounts for event in pages(self.gateway, key))
        (earned,) = self.gateway.cli_one("creator", "show", "demo")["currencies"]
        assert earned["gross"] == money.spelled(paid), earned


# --------------------------------------------------------------------------- TLS, users

@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate for 127.0.0.1, its key and the authority that signed it; and another authority, which did not."""
    folder = tmp_path_factory.mktemp("authority")
    files = {name: folder / f"{name}.pem" for name in ("ca", "ca-key", "cert", "key", "request", "stranger", "stranger-key")}
    names = folder / "names"
    names.write_text("subjectAltName=IP:127.0.0.1\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "stranger"):
        openssl("req", "-x509", *new_key, "-days", "2", "-subj", f"/CN={name}", "-keyout", files[f"{name}-key"],
                "-out", files[name])
    openssl("req", *new_key, "-subj", "/CN=redis", "-keyout", files["key"], "-out", files["request"])
    openssl("x509", "-req", "-in", files["request"], "-CA", files["ca"], "-CAkey", files["ca-key"], "-CAcreateserial",
            "-days", "2", "-extfile", names, "-out", files["cert"])
    return files


def openssl(*words: Any) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def least_rights() -> str:
    """The line of the manual."""
    manual = (TOP / "docs" / "operators.md").read_text()
    (line,) = [line for line in manual.splitlines() if line.startswith("user tollgate ")]
    return line.removeprefix("user ").replace(">PASSWORD", ">secret")


def test_tls_and_a_user_of_few_rights_are_enough(
        tmp_path: Path, served: Served, point_at: Callable[..., Served], authority: dict[str, Path]) -> None:
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    rights = {"user": least_rights(), "requirepass": "admin"}
    with Server(tmp_path / "redis", {**DURABLE, **rights}, tls=authority, login=("default", "admin")) as redis:
        address = f"rediss://{redis.where}"
        refuses_a_stranger(served, address, authority)
        gateway = point_at(address, redis_ca=authority["ca"], redis_user="tollgate", redis_password_file=password)
        with Customers(gateway, 2) as customers:
            customers.wait_for_more(20)
            redis.kill()
            redis.start()
            customers.wait_for_more(20)
        customers.check()
        gateway.cli("journal", "rebuild")
        gateway.wait_ready(30)
        customers.check()
        refused = [line for line in redis.must("ACL", "LOG").splitlines() if line.strip() == "object"]
        assert not refused, redis.must("ACL", "LOG")


def refuses_a_stranger(served: Served, address: str, authority: dict[str, Path]) -> None:
    """A Redis whose certificate is of another authority: one sentence says so, and nothing is sent to it."""
    served.options = {"redis": address, "redis_ca": authority["stranger"]}
    served.write_config()
    served.serve()
    wait_until(lambda: "certificate" in served.log_text(), "the log says why")
    (line, *_) = [line for line in served.log_text().splitlines() if '"redis_lost"' in line]
    assert address.removeprefix("rediss://") in line and "certificate" in line, line
    assert served.try_get("/readyz")[0] == 503
    served.stop_serving()


# --------------------------------------------------------------------------- Sentinel

def test_calls_follow_the_master_that_sentinel_names(tmp_path: Path, point_at: Callable[..., Served]) -> None:
    with Sentinels(tmp_path / "sentinels") as group:
        gateway = point_at(group.address)
        with Customers(gateway, 2) as customers:
            customers.wait_for_more(20)
            group.master.kill()
            wait_until(lambda: group.replica.info("replication")["role"] == "master", "the replica was promoted", 30)
            customers.wait_for_more(20)
            group.master.start()
            wait_until(lambda: group.master.info("replication")["role"] == "slave", "the old master was demoted", 30)
            customers.wait_for_more(20)
        customers.check()
        assert group.master.info("commandstats").get("cmdstat_evalsha") is None, "a demoted master was written to"


# --------------------------------------------------------------------------- Cluster

def test_a_cluster_whose_slots_move_and_whose_master_dies(tmp_path: Path, point_at: Callable[..., Served]) -> None:
    with Cluster(tmp_path / "cluster") as cluster:
        gateway = point_at(cluster.address)
        customers = Customers(gateway, 4)
        with customers:
            customers.wait_for_more(20)
            for partition in customers.partitions[:3]:
                slot = cluster.slot_of(partition)
                source = cluster.master_of(slot)
                target = next(server for server in cluster.servers[:3] if server is not source)
                cluster.move_slot(slot, target)
            customers.wait_for_more(20)
            cluster.servers[0].kill()
            wait_until(lambda: cluster.servers[3].info("replication")["role"] == "master", "a replica takes over", 20)
            customers.wait_for_more(20)
        customers.check()
