"""Redis as people run it: over TLS, with a user of few rights, behind Sentinel, as a Cluster; busy, full, read-only,
still loading, without scripts. Whatever it does, calls are billed once."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import money
from load import FAST, Load, check_billed, check_refused, pages
from redis_servers import DEAD_MS, DURABLE, Cluster, Sentinels, Server, client_certificate, make_authority
from tollgate import TOP, Redis, Served, wait_until

MODELS = [{"id": "demo/fast", "backends": [{"name": "fast"}]}]


@pytest.fixture
def point_at(served: Served) -> Callable[..., Served]:
    """A gateway with this Redis, which has everything it needs and is ready."""
    def point(address: str, **options: Any) -> Served:
        served.backends = {"fast": {"kind": "echo"}}
        served.options = {"redis": address, "redis_timeout": "3 s", "recovering_wait": "10 s", **options}
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

    def wait_for_more(self, count: int) -> None:
        before = [len(load.answered) for load in self.loads]
        wait_until(lambda: all(len(load.answered) >= was + count for load, was in zip(self.loads, before)),
                   f"each account has {count} more calls")

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
    return make_authority(tmp_path_factory.mktemp("authority"))


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
        gateway.wait_ready()
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

def test_calls_follow_the_master_that_sentinel_names(
        tmp_path: Path, point_at: Callable[..., Served], authority: dict[str, Path]) -> None:
    """Over TLS, where sentinels and servers ask for a certificate."""
    with Sentinels(tmp_path / "sentinels", authority, silence_ms=DEAD_MS) as group:
        gateway = point_at(group.address, **client_certificate(authority))
        with Customers(gateway, 2) as customers:
            customers.wait_for_more(20)
            group.master.kill()
            wait_until(lambda: group.replica.info("replication").get("role") == "master", "the replica was promoted")
            customers.wait_for_more(20)
            group.master.start()
            wait_until(lambda: group.master.info("replication").get("role") == "slave", "the old master was demoted")
            customers.wait_for_more(20)
        customers.check()
        assert group.master.info("commandstats").get("cmdstat_evalsha") is None, "a demoted master was written to"


# --------------------------------------------------------------------------- Cluster

def test_a_cluster_whose_slots_move_and_whose_master_dies(tmp_path: Path, point_at: Callable[..., Served]) -> None:
    with Cluster(tmp_path / "cluster", silence_ms=DEAD_MS) as cluster:
        gateway = point_at(cluster.address)
        with Customers(gateway, 4) as customers:
            customers.wait_for_more(20)
            for partition in customers.partitions:
                move(cluster, cluster.slot_of(partition))
            customers.wait_for_more(20)
            cluster.servers[0].kill()
            wait_until(lambda: cluster.servers[3].info("replication").get("role") == "master", "a replica takes over")
            customers.wait_for_more(20)
            cluster.servers[0].start()
            customers.wait_for_more(20)
        customers.check()


def test_while_a_slot_is_half_moved_the_others_go_on(tmp_path: Path, point_at: Callable[..., Served]) -> None:
    """Longer than a command may take: calls of that partition are refused, and nothing of them is half done. A rebuild
    then empties and fills every server."""
    with Cluster(tmp_path / "cluster", silence_ms=DEAD_MS) as cluster:
        gateway = point_at(cluster.address)
        with Customers(gateway, 3) as customers:
            customers.wait_for_more(10)
            moving, others = customers.loads[0], customers.loads[1:]
            apart = [load for load, name in zip(others, customers.partitions[1:]) if name != customers.partitions[0]]

            def at_half() -> None:
                for load in apart:
                    load.wait_for_more(2)
                if not moving.refused:
                    wait_until(lambda: moving.refused, "calls of the slot are refused")
            move(cluster, cluster.slot_of(customers.partitions[0]), at_half)
            customers.wait_for_more(20)
        customers.check()
        gateway.cli("journal", "rebuild")
        gateway.wait_ready()
        customers.check()


def move(cluster: Cluster, slot: int, at_half: Callable[[], None] = lambda: None) -> None:
    source = cluster.master_of(slot)
    cluster.move_slot(slot, next(server for server in cluster.servers[:3] if server is not source), at_half)


# --------------------------------------------------------------------------- one server in every mood

@pytest.fixture(scope="module")
def moody(serve_for_module: Callable[[str], Served], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A gateway that waits for Redis for a while, so that whatever is over by then refuses no call."""
    own = serve_for_module("moody")
    own.backends = {"fast": {"kind": "echo"}}
    own.options = {"redis_timeout": "10 s", "recovering_wait": "10 s"}
    yield own.start().set_up("100", MODELS)


def flush_scripts(gateway: Served, load: Load) -> None:
    for _ in range(5):
        assert gateway.redis.command("SCRIPT", "FLUSH") == "OK"
        load.wait_for_more(5)


def loop_in_a_script(gateway: Served, load: Load) -> None:
    gateway.redis.command("CONFIG", "SET", "busy-reply-threshold", "50")
    with ThreadPoolExecutor(1) as pool:
        looping = pool.submit(gateway.redis.command, "EVAL", "while true do end", "0")
        wait_until(lambda: gateway.redis.command("PING").startswith("BUSY"), "it is busy")
        time.sleep(0.3)         # while calls come
        gateway.redis.command("SCRIPT", "KILL")
        assert "killed by user" in looping.result()


def pause_clients(gateway: Served, load: Load) -> None:
    for kind in ("WRITE", "ALL"):
        assert gateway.redis.command("CLIENT", "PAUSE", "500", kind) == "OK"
        load.wait_for_more(5)


@pytest.mark.parametrize("disturb", [flush_scripts, loop_in_a_script, pause_clients], ids=lambda disturb: disturb.__name__)
def test_what_is_over_soon_refuses_no_call(moody: Served, disturb: Callable[[Served, Load], None]) -> None:
    account, key = moody.new_account("10")
    with Load(moody, key) as load:
        load.wait_for_more(10)
        disturb(moody, load)
        load.wait_for_more(10)
    assert not load.refused, load.refused[0]
    check_billed(moody, account, key, load.answered)


@contextlib.contextmanager
def full(redis: Redis) -> Iterator[None]:
    redis.command("CONFIG", "SET", "maxmemory", "1")
    yield
    redis.command("CONFIG", "SET", "maxmemory", "0")


@contextlib.contextmanager
def read_only(redis: Redis) -> Iterator[None]:
    """It became the replica of a master that is not there."""
    redis.command("REPLICAOF", "127.0.0.1", "1")
    yield
    redis.command("REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def loading(redis: Redis) -> Iterator[None]:
    """It was killed, and takes long to read its file: until it is told otherwise, which it hears every 1024 commands."""
    redis.kill()
    redis.start("--key-load-delay", "3000", wait=False)
    wait_until(lambda: redis.command("PING").startswith("LOADING"), "it loads")
    yield
    wait_until(lambda: redis.command("CONFIG", "SET", "key-load-delay", "0") == "OK", "it goes on faster")


@pytest.mark.parametrize("trouble", [full, read_only, loading], ids=lambda trouble: trouble.__name__)
def test_what_lasts_refuses_calls_and_loses_none(moody: Served, trouble: Any) -> None:
    account, key = moody.new_account("10")
    with Load(moody, key) as load:
        load.wait_for_more(80)          # more than a thousand commands in Redis's file
        with trouble(moody.redis):
            wait_until(lambda: len(load.refused) >= 4, "calls are refused")
        load.wait_for_more(10)
    check_refused(load.refused)
    check_billed(moody, account, key, load.answered)


# --------------------------------------------------------------------------- a file that was cut inside a transaction

def test_a_file_cut_inside_a_script_is_right_again_only_after_a_rewrite(
        tmp_path: Path, served: Served, point_at: Callable[..., Served]) -> None:
    """What Redis holds when it is killed must be what it loads. It is not when a write follows a cut inside MULTI, unless
    the file was rewritten before."""
    with Server(tmp_path / "redis", DURABLE) as redis:
        gateway = point_at(f"redis://{redis.where}")
        account, key = gateway.new_account("10")
        with gateway.wire(key) as wire:
            answered = {wire.ask(wire.chat(FAST)).headers["x-request-id"] for _ in range(20)}
        check_billed(gateway, account, key, answered)
        gateway.stop_serving()
        redis.kill()
        cut_inside_a_transaction(redis.folder, f"account:{account}")
        shutil.copytree(redis.folder / "appendonlydir", tmp_path / "copy" / "appendonlydir")

        with Server(tmp_path / "copy", DURABLE) as copy:        # without our client: nobody asks for a rewrite
            write_on = "for _, field in ipairs(ARGV) do redis.call('HINCRBY', KEYS[1], field, -1) end"
            name = account_key(copy, account)
            copy.must("EVAL", write_on, "1", name, "balance", "room")
            held = hash_of(copy, name)["balance"]
            kill_and_start(copy)
            assert hash_of(copy, name)["balance"] != held, "this Redis needs no rewrite; the rule can go"

        redis.start()
        gateway.serve()
        gateway.wait_ready()
        with gateway.wire(key) as wire:
            answered |= {wire.ask(wire.chat(FAST)).headers["x-request-id"] for _ in range(5)}
        check_billed(gateway, account, key, answered)
        gateway.stop_serving()
        held = books(redis)
        kill_and_start(redis)
        assert books(redis) == held
        gateway.serve()
        gateway.wait_ready()
        check_billed(gateway, account, key, answered)


def kill_and_start(redis: Server) -> None:
    """Once everything was handed to the file: only that may be asked for."""
    wait_until(lambda: redis.info("persistence")["aof_buffer_length"] == "0", "the file has everything")
    redis.kill()
    redis.start()


def account_key(redis: Server, account: str) -> str:
    (key,) = [key for key in redis.must("KEYS", "tg:*").splitlines() if key.endswith(f"}}:account:{account}")]
    return key


def books(redis: Server) -> dict[str, dict[str, str]]:
    """Every sum of money that Redis holds."""
    keys = [key for key in redis.must("KEYS", "tg:*").splitlines() if re.search(r"}:(account:|debits:|gross:)", key)]
    return {key: hash_of(redis, key) for key in keys}


def hash_of(redis: Server, key: str) -> dict[str, str]:
    lines = redis.must("HGETALL", key).splitlines()
    return dict(zip(lines[::2], lines[1::2], strict=True))


def cut_inside_a_transaction(folder: Path, about: str) -> None:
    """Ends the file in the middle of a command, the last before EXEC, of the last transaction that changes a balance."""
    (part,) = (folder / "appendonlydir").glob("*.incr.aof")
    content = part.read_bytes()
    change = content.rindex(b"balance", 0, content.rindex(about.encode()))
    end = content.index(b"*1\r\n$4\r\nEXEC", change)
    assert content.rindex(b"MULTI", 0, change) > content.rindex(b"EXEC", 0, change)
    os.truncate(part, end - 3)
