"""Redis lost everything, or came back old, or a partition of it was parked: rebuilt, it holds what it held before."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import money
from redis_dump import canonical_dump, differences
from test_redis_lost import FAST, Load, check_billed, check_refused
from tollgate import Dev, Served, wait_until


@pytest.fixture
def gateway(served: Served) -> Iterator[Served]:
    served.backends = {"fast": {"kind": "echo"}}
    served.options = {"redis_timeout": "3 s", "recovering_wait": "3 s", "journal_segment": "256 KiB"}
    yield served.start().set_up("100", [{"id": "demo/fast", "backends": [{"name": "fast"}]}])


def call(gateway: Served, count: int, key: str | None = None) -> set[str]:
    with gateway.wire(key) as wire:
        replies = [wire.ask(wire.chat(FAST)) for _ in range(count)]
    assert {reply.status for reply in replies} == {200}, replies
    return {reply.headers["x-request-id"] for reply in replies}


def fill(gateway: Served) -> None:
    """Some of everything: accounts, credits, a revoked key, a catalogue, calls of several accounts."""
    for number in range(6):
        account, key = gateway.new_account("5")
        call(gateway, 3 + number, key)
        gateway.cli("account", "credit", account, "-1", "--op", f"op-{number}")
        gateway.cli("account", "adjust", account, "-0.1", "--reason", "counted twice")
        if number % 2:
            gateway.cli("key", "revoke", key.split("-")[2])
    call(gateway, 10)


def settled_dump(gateway: Served) -> dict[str, Any]:
    gateway.settle_down()
    gateway.ship()
    return canonical_dump(gateway.redis)


def check_same(before: dict[str, Any], gateway: Served) -> None:
    wait_until(lambda: not differences(before, settled_dump(gateway)) or None, "it is what it was")


def partition_of(gateway: Served, what: str) -> str:
    """The partition of a key, such as `account:demo`: a17."""
    (key,) = gateway.redis.command("KEYS", f"tg:{{*}}:{what}").splitlines()
    return key[key.index("{") + 1:key.index("}")]


def park(gateway: Served, partition: str) -> None:
    """As a script does that fails midway, with half of its record done."""
    gateway.redis.command("HSET", f"tg:{{{partition}}}:state", "parked", "a script failed midway at record w 7",
                          "applying", "w 7")
    gateway.redis.command("HINCRBY", f"tg:{{{partition}}}:account:demo", "balance", "12345")


def test_after_everything_is_lost_redis_becomes_what_it_was(gateway: Served) -> None:
    fill(gateway)
    before = settled_dump(gateway)
    assert len(before) > 50
    gateway.redis.command("FLUSHALL")
    gateway.cli("journal", "rebuild")
    assert differences(before, settled_dump(gateway)) == []
    wait_until(lambda: call_once(gateway) == 200, "calls are admitted again")


def test_under_load_everything_is_lost_and_no_call(gateway: Served) -> None:
    account, key = gateway.new_account("10")
    with Load(gateway, key) as load:
        load.wait_for_more(30)
        gateway.redis.command("FLUSHALL")
        gateway.cli("journal", "rebuild")
        load.wait_for_more(30)
    check_refused(load.refused)
    check_billed(gateway, account, key, load.answered)


def test_an_old_backup_is_brought_up_to_the_journals(gateway: Served) -> None:
    fill(gateway)
    settled_dump(gateway)
    gateway.redis.rewrite()
    gateway.redis.kill()
    backup = gateway.redis.folder / "appendonlydir"
    shutil.copytree(backup, gateway.redis.folder / "kept")
    gateway.redis.start()
    gateway.wait_ready()
    fill(gateway)
    before = settled_dump(gateway)
    gateway.redis.kill()
    shutil.rmtree(backup)
    shutil.move(gateway.redis.folder / "kept", backup)
    gateway.redis.start()
    gateway.wait_ready()
    gateway.cli("journal", "rebuild")
    assert differences(before, settled_dump(gateway)) == []


def test_a_parked_partition_is_emptied_and_filled_by_every_writer(gateway: Served) -> None:
    fill(gateway)
    before = settled_dump(gateway)
    park(gateway, partition_of(gateway, "account:demo"))
    with gateway.wire() as wire:
        assert wire.ask(wire.chat(FAST)).status == 503
    (result,) = gateway.cli("journal", "rebuild")
    assert result["emptied"] == 1
    check_same(before, gateway)
    wait_until(lambda: call_once(gateway) == 200, "the partition admits again")
    assert gateway.balance() == 100 - money.total(gateway.events("demo"))


def call_once(gateway: Served) -> int | None:
    with gateway.wire() as wire:
        return wire.ask(wire.chat(FAST)).status


LISTS = [["key", "list"], ["account", "list"], ["usage", "list"], ["webhook", "list"]]


@pytest.mark.parametrize("side,lists", [("a", [*LISTS, ["suspense", "list"]]), ("m", [["suspense", "list"]])],
                         ids=["an account's", "a model's"])
def test_while_a_partition_is_being_filled_no_list_is_shown_that_may_lack_some(
        gateway: Served, side: str, lists: list[list[str]]) -> None:
    """A partition that has none of the names listed here: nobody can know that before it is filled."""
    gateway.cli("webhook", "create", "demo", "https://receiver.example.com/hook")
    gateway.redis.command("HSET", f"tg:{{{partition_of(gateway, 'account:demo')}}}:suspense", "w-0000000000000001 7",
                          'record-is-unreadable {"kind":"credit","writer":"w-0000000000000001","a":1,"an":7,"x":1}')
    gateway.ship()
    before = [gateway.cli(*words) for words in lists]
    assert len(before[-1]) == 1, "something is listed"
    used = {partition_of(gateway, what) for what in ("account:demo", "key:*", "catalogue")}
    state = next(f"tg:{{{name}}}:state" for name in (f"{side}{number:02}" for number in range(64)) if name not in used)
    with unfilled(gateway, state):
        for words in lists:
            assert "Redis is being brought up to the journals" in gateway.refused(*words)
    assert [gateway.cli(*words) for words in lists] == before


@contextlib.contextmanager
def unfilled(gateway: Served, state: str) -> Iterator[None]:
    """The partition stands as one whose rebuild goes on: it has no run id, and no writer's report gives it one."""
    filled = gateway.redis.command("HGET", state, "run_id")
    assert filled
    gateway.redis.command("EVAL", "redis.call('HSET', KEYS[1], 'rebuilding', '1') redis.call('HDEL', KEYS[1], 'run_id')", "1", state)
    try:
        yield
    finally:
        gateway.redis.command("HSET", state, "run_id", filled)
        gateway.redis.command("HDEL", state, "rebuilding")


def test_while_a_partition_is_being_filled_no_webhook_of_it_is_said_not_to_exist(gateway: Served) -> None:
    gateway.ship()
    webhook = gateway.cli_one("webhook", "create", "demo", "https://receiver.example.com/hook")
    with unfilled(gateway, f"tg:{{{partition_of(gateway, 'account:demo')}}}:state"):
        for words in (["delete", webhook["webhook"]], ["test", webhook["webhook"]],
                      ["create", "demo", "https://receiver.example.com/second"]):
            assert "Redis is being brought up to the journals" in gateway.refused("webhook", *words)
        assert gateway.cli("webhook", "list", "somebody-else") == [], "it is another partition that is being filled"
    assert [one["state"] for one in gateway.cli("webhook", "list")] == ["active"]


def test_what_was_metered_while_a_partition_was_parked_is_in_it_once_it_is_rebuilt(gateway: Served) -> None:
    """The creator's side is parked: calls go on, and their earnings wait in the journals. Workers stop meanwhile, so
    their directories are visited and left with what the partition lacks."""
    answered = call(gateway, 5)
    gateway.settle_down()
    gateway.ship()
    partition = partition_of(gateway, "gross:*")
    park(gateway, partition)
    answered |= call(gateway, 7)
    gateway.stop_serving()
    gateway.options["workers"] = 1
    gateway.write_config()
    gateway.serve().wait_ready()
    wait_until(lambda: "journal_let_go" in gateway.log_text() or None, "a directory is left although a partition is parked")
    answered |= call(gateway, 2)
    gateway.cli("journal", "rebuild")
    gateway.ship()
    earned = gateway.cli_one("creator", "show", "demo")
    assert {event["request_id"] for event in gateway.events("demo")} == answered
    assert str(len(answered)) in str(earned), earned


def test_a_rebuild_that_was_cut_off_is_finished_by_the_next_console(gateway: Served) -> None:
    """Some keys are gone already, and the partition is marked as being rebuilt."""
    fill(gateway)
    before = settled_dump(gateway)
    partition = partition_of(gateway, "account:demo")
    gateway.redis.command("HSET", f"tg:{{{partition}}}:state", "parked", "it is being rebuilt")
    gateway.redis.command("DEL", f"tg:{{{partition}}}:account:demo", f"tg:{{{partition}}}:cursors")
    gateway.stop_serving()
    gateway.serve()
    check_same(before, gateway)
    wait_until(lambda: call_once(gateway) == 200, "the partition admits again")


def test_from_zero_all_is_emptied_and_comes_back(gateway: Served) -> None:
    """Also what no cursor would show: a balance that somebody changed by hand."""
    fill(gateway)
    before = settled_dump(gateway)
    gateway.redis.command("HSET", f"tg:{{{partition_of(gateway, 'account:demo')}}}:account:demo", "balance", "1")
    (result,) = gateway.cli("journal", "rebuild", "--from-zero")
    assert result["emptied"] == 128
    check_same(before, gateway)


def test_a_private_redis_whose_file_never_loads_again_is_set_aside_and_filled_anew(dev: Dev) -> None:
    """Cut in the middle, as by a crash between two rewrites: Redis refuses such a file at every start."""
    dev.start()
    with dev.wire() as wire:
        assert {wire.ask(wire.chat({**FAST, "model": "demo/echo"})).status for _ in range(4)} == {200}
    dev.settle_down()
    before = dev.balance()
    dev.stop()
    files = dev.state / "redis" / "appendonlydir"
    part = max(files.glob("*.aof"), key=lambda path: path.stat().st_size)
    whole = part.read_bytes()
    part.write_bytes(whole[:len(whole) // 2] + b"\0nonsense\r\n" + whole[len(whole) // 2:])
    dev.start()
    assert dev.balance() == before == 100 - money.total(dev.events()) and len(dev.events()) == 4
    (aside,) = (dev.state / "redis").glob("appendonlydir.unreadable-*")
    assert (aside / part.name).exists() and "redis_file_set_aside" in dev.log_text()


def test_a_private_redis_that_stopped_in_good_order_keeps_its_file(dev: Dev) -> None:
    """However often: what it says when it loads a file is no complaint about it."""
    dev.start()
    for _ in range(3):
        dev.restart()
    assert not list((dev.state / "redis").glob("appendonlydir.*")), "nothing was set aside"
    assert "redis_file_set_aside" not in dev.log_text()


def test_writers_that_only_the_archive_has_are_replayed(gateway: Served, tmp_path: Path) -> None:
    """The directories of all workers are gone, after all that they held was archived."""
    fill(gateway)
    before = settled_dump(gateway)
    period = gateway.events("demo")[0]["period"]
    gateway.cli("settle", "preview", period)           # seals and archives everything
    gateway.stop_serving()
    gateway.serve().wait_ready()
    gateway.cli("settle", "preview", period)
    gateway.stop_serving()
    shutil.move(gateway.state / "journal", tmp_path / "gone")
    gateway.redis.command("FLUSHALL")
    gateway.serve()
    (result,) = gateway.cli("journal", "rebuild")
    assert result["archived_writers"] >= 3
    check_same(before, gateway)
    wait_until(lambda: call_once(gateway) == 200, "calls are admitted again")
