"""A host is gone for good, with its journal's disk: what Redis holds of its writers is saved, the rest is named."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import money
from redis_dump import canonical_dump, differences
from test_month_end import after, noon_of_the_second
from test_rebuild import call_once, park, partition_of
from test_two_hosts import offset_to
from tollgate import Served, wait_until
from upstream import Call, Upstream

FAST = {"model": "demo/fast", "messages": [{"role": "user", "content": "a b c"}]}
HELD = {"model": "demo/held", "stream": True, "messages": [{"role": "user", "content": "a b c"}]}
MODELS = [{"id": f"demo/{name}", "backends": [{"name": name}]} for name in ("fast", "held")]


@pytest.fixture
def may_end(upstream: Upstream) -> Iterator[threading.Event]:
    """Streams of demo/held end when this is set."""
    event = threading.Event()

    def respond(call: Call) -> None:
        event.wait()
        call.stream(["at ", "last"])
    upstream.respond = respond
    yield event
    event.set()


@pytest.fixture
def hosts(served: Served, second: Served, upstream: Upstream) -> Iterator[tuple[Served, Served]]:
    served.options = {"testing": True, "redis_timeout": "2 s"}
    served.backends = {"fast": {"kind": "echo"}, "held": {"kind": "openai", "url": upstream.url}}
    served.start().set_up("100", MODELS)
    second.join(served).serve().wait_ready()
    yield served, second


def call(host: Served, count: int, key: str | None = None) -> set[str]:
    with host.wire(key) as wire:
        replies = [wire.ask(wire.chat(FAST)) for _ in range(count)]
    assert {reply.status for reply in replies} == {200}, replies
    return {reply.headers["x-request-id"] for reply in replies}


def destroy(host: Served) -> list[str]:
    """The machine stops at once, and its disk is gone; its writers."""
    writers = [line["writer"] for line in host.cli("journal", "show") if line["where"] == "here"]
    host.kill()
    shutil.rmtree(host.state)
    return writers


def retire(host: Served, writer: str, *, waits: bool = False) -> Any:
    """By two people; the record of it. That it has been silent long enough is waited for, or made so."""
    words = ("journal", "retire", writer, "--reason", "rack 7 burnt")
    if not waits:
        host.redis.command("HDEL", "tg:{a00}:live", writer)
    wait_until(lambda: "another person confirms" in host.refused_or_done(*words, "--by", "ann"),
               f"{writer} is silent, and it is proposed")
    assert "takes another person" in host.refused(*words, "--by", "ann")
    return host.cli_one(*words, "--by", "bob")["record"]


def retire_all(host: Served, writers: list[str]) -> list[Any]:
    """Of a host with losses. What one of them lost is taken out of Redis when nothing of the others is in Redis alone any
    more, so each is asked for again."""
    confirm = {}
    for writer in writers:
        host.redis.command("HDEL", "tg:{a00}:live", writer)
        confirm[writer] = ("journal", "retire", writer, "--reason", "rack 7 burnt", "--by", "bob")
        host.refused_or_done(*confirm[writer][:-1], "ann")
    for words in confirm.values():
        said = host.refused_or_done(*words)
        assert not said or "give the same command again" in said, said
    return [host.cli_one(*words)["record"] for words in confirm.values()]


def close(host: Served, period: str, out: Path) -> Any:
    """In the next month; what `settle verify` says against the archive."""
    host.stop_serving()
    host.options["clock_offset"] = offset_to(noon_of_the_second(after(period)))
    host.write_config()
    host.serve()
    wait_until(lambda: not host.cli_one("settle", "status", period)["reasons"], f"{period} can be closed")
    host.cli("settle", "close", period, "--out", str(out))
    return host.cli_one("settle", "verify", str(out), "--archive", str(host.archive))


def test_a_host_that_had_shipped_everything_is_completed_from_redis(hosts: tuple[Served, Served], tmp_path: Path) -> None:
    first, second = hosts
    account, key = second.new_account("5")
    answered = call(first, 5) | call(second, 9)
    others = call(second, 4, key)
    second.cli("account", "credit", account, "1")
    second.settle_down(), second.settle_down(account)
    first.ship(), second.ship()
    before = canonical_dump(first.redis)
    period = first.events("demo")[0]["period"]
    writers = destroy(second)
    alive = next(line["writer"] for line in first.cli("journal", "show") if line["where"] == "here")
    assert "not lost" in first.refused("journal", "retire", alive, "--reason", "no", "--by", "ann")
    assert "knows no writer" in first.refused("journal", "retire", "w-0000000000000000", "--reason", "no", "--by", "ann")
    records = [retire(first, writer, waits=True) for writer in writers]
    assert sum(record["saved"] for record in records) >= 9 + 4
    assert all(record["lost_records"] == 0 and record["lost"] == [] for record in records)
    assert all((record["proposed_by"], record["by"], record["reason"]) == ("ann", "bob", "rack 7 burnt")
               for record in records)
    assert differences(before, canonical_dump(first.redis)) == []
    first.redis.command("FLUSHALL")
    first.cli("journal", "rebuild")
    assert differences(before, canonical_dump(first.redis)) == []
    assert first.balance() == 100 - money.total(first.events("demo"))
    verdict = close(first, period, tmp_path / "bundle")
    assert verdict["events"] == len(answered | others)
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    retired = {writer["writer"]: writer["retired"] for writer in manifest["writers"] if writer["retired"]}
    assert set(retired) == set(writers)
    assert all(record["reason"] == "rack 7 burnt" and record["by"] == "bob" for record in retired.values())
    check_archive(first.archive)


def check_archive(archive: Path) -> None:
    """Anyone can read it, the retired writers' last files as well: chained, with their records and SEALs."""
    for folder in archive.glob("w-*"):
        previous = None
        for path in sorted(folder.glob("*.jsonl.zst")):
            plain = subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
            header, *lines = map(json.loads, plain.decode().splitlines())
            assert header["previous"] == previous and header["records"] == len(lines)
            previous = subprocess.run(["sha256sum"], input=plain, capture_output=True,
                                      check=True).stdout.decode().split()[0]


def test_redis_is_not_emptied_of_what_a_lost_host_left_only_there(hosts: tuple[Served, Served]) -> None:
    """Neither all of it nor a parked partition, from the moment the host dies until its writers are retired; then Redis is
    as it was."""
    first, second = hosts
    call(first, 2)
    first.ship()
    answered = call(second, 6)
    second.settle_down()
    writers = destroy(second)
    said = first.refused("journal", "rebuild", "--from-zero")
    assert re.search(r"only Redis holds [1-9]\d* records of writer w-[0-9a-z]{16}.*`tollgate journal retire`", said), said
    assert call(first, 1), "nothing was parked for it"
    park(first, partition_of(first, "account:demo"))
    assert "only Redis holds" in first.refused("journal", "rebuild")
    records = [retire(first, writer) for writer in writers]
    assert all(line["where"] == "retired" for line in first.cli("journal", "show") if line["writer"] in writers)
    assert sum(record["saved"] for record in records) >= len(answered)
    first.cli("journal", "rebuild")
    first.wait_ready()
    assert answered <= {event["request_id"] for event in first.events("demo")}
    assert first.balance() == 100 - money.total(first.events("demo"))


def test_what_lives_elsewhere_answers_a_rebuild(hosts: tuple[Served, Served]) -> None:
    """Also in partitions that are parked already, and none of them is left out."""
    first, second = hosts
    answered = call(first, 2) | call(second, 5)
    second.settle_down()
    first.ship(), second.ship()
    before = canonical_dump(first.redis)
    for side in "am":
        for number in range(64):
            first.redis.command("HSET", f"tg:{{{side}{number:02}}}:state", "parked", "somebody parked it")
    (result,) = first.cli("journal", "rebuild", "--from-zero")
    assert result["emptied"] == 128
    wait_until(lambda: not differences(before, canonical_dump(first.redis)), "it is what it was")
    assert {event["request_id"] for event in first.events("demo")} == answered


def test_a_rebuild_that_was_cut_off_with_a_host_waits_until_that_is_retired(hosts: tuple[Served, Served]) -> None:
    """The console that comes next leaves the partition parked; what was deleted already is counted as lost."""
    first, second = hosts
    call(first, 2)
    first.ship()
    call(second, 6)
    second.settle_down()
    second.ship()
    account = f"tg:{{{partition_of(first, 'account:demo')}}}"
    writers = destroy(second)
    cursors = first.redis.command("HGETALL", f"{account}:cursors").splitlines()
    first.redis.command("HSET", f"{account}:state", "parked", "it is being rebuilt")
    first.redis.command("HSET", f"{account}:before", *cursors)
    first.redis.command("DEL", f"{account}:cursors", f"{account}:account:demo", f"{account}:events:demo")
    first.stop_serving()
    first.serve()
    wait_until(lambda: "only Redis holds" in first.log_text(), "the next console refuses to go on")
    assert first.redis.command("HGET", f"{account}:state", "parked") == "it is being rebuilt"
    records = retire_all(first, writers)
    assert sum(record["lost_records"] for record in records) >= 6, records
    first.wait_ready()
    wait_until(lambda: not first.redis.command("HGET", f"{account}:state", "parked"), "it is rebuilt")
    assert first.balance() == 100 - money.total(first.events("demo"))
    wait_until(lambda: call_once(first) == 200, "the partition admits again")


def go_on(host: Served) -> None:
    """Redis takes writes again. What a killed host had asked, and Redis had not begun, goes with its connections."""
    own = 2 * len(host.workers() + host.children("console"))
    wait_until(lambda: len(host.redis.command("CLIENT", "LIST").splitlines()) <= own + 1, "the other's connections are gone")
    assert host.redis.command("CLIENT", "UNPAUSE") == "OK"
    host.wait_ready()


def test_a_host_that_had_not_shipped_loses_calls_and_they_are_named(hosts: tuple[Served, Served], may_end: threading.Event,
                                                                    tmp_path: Path) -> None:
    """Redis hangs while the calls end: their ENDs are durable on the host that burns, and nowhere else."""
    first, second = hosts
    kept = call(first, 3) | call(second, 2)
    second.settle_down()
    second.ship()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(stream, second) for _ in range(4)]
        wait_until(lambda: first.account_state()["open_calls"] == 4, "they run")
        first.redis.command("CLIENT", "PAUSE", "600000", "WRITE")
        may_end.set()
        replies = [run.result() for run in running]
        lost = {reply.headers["x-request-id"] for reply in replies}
        assert all(reply.is_whole for reply in replies), "their ends were seen"
        second.kill()
    writers = [json.loads(path.read_text())["writer"] for path in second.state.glob("journal/*/writer")]
    period = period_of_now(second)
    shutil.rmtree(second.state)
    go_on(first)
    sweep_away(first, sorted(lost)[:2], kept)
    records = [retire(first, writer) for writer in writers]
    named = {call["request_id"] for record in records for call in record["open"]}
    assert named == lost and sum(record["open_calls"] for record in records) == 4
    verdict = close(first, period, tmp_path / "bundle")
    assert verdict["events"] == len(kept)
    text = (tmp_path / "bundle" / "manifest.json").read_text()
    assert all(request in text for request in lost), "the bundle names what was lost"


def sweep_away(host: Served, swept: list[str], ended: set[str]) -> None:
    """As the sweeper does two minutes later. It noted calls that have ended since, too."""
    account = f"tg:{{{partition_of(host, 'account:demo')}}}"
    holds = host.redis.command("HGETALL", f"{account}:holds:demo").splitlines()
    entries = dict(zip(holds[::2], holds[1::2], strict=True))
    for request in swept:
        host.redis.command("HDEL", f"{account}:holds:demo", request)
        host.redis.command("HINCRBY", f"{account}:account:demo", "room", entries[request].split()[0])
    notes = [f"{request} demo {entries[request]}" for request in swept]
    events = host.redis.command("XRANGE", f"{account}:events:demo", "-", "+").splitlines()
    for event in [json.loads(line) for line in events if line.startswith("{")]:
        assert event["request_id"] in ended
        notes.append(f"{event['request_id']} demo 100 {event['writer']} 1")
    for note in notes:
        host.redis.command("XADD", f"{account}:swept", "*", "r", note)


def cut_after_agreeing(host: Served, words: tuple[str, ...], writer: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        host.redis.command("CLIENT", "PAUSE", "60000", "WRITE")
        running = pool.submit(host.refused_or_done, *words)
        wait_until((host.archive / "retired" / f"{writer}.json").exists, "two have agreed")
        os.kill(*host.children("console"), signal.SIGKILL)
        host.redis.command("CLIENT", "UNPAUSE")
        assert running.result()


def cut_after_fencing(host: Served, words: tuple[str, ...], writer: str) -> None:
    host.redis.command("ACL", "SETUSER", "default", "-scan")
    assert "Redis refused" in host.refused(*words)
    assert host.redis.command("HGET", "tg:{a00}:state", f"retired {writer}") == "fenced"
    os.kill(*host.children("console"), signal.SIGKILL)
    host.redis.command("ACL", "SETUSER", "default", "+scan")


def cut_at_the_segment(host: Served, words: tuple[str, ...], writer: str) -> None:
    before = set((host.archive / writer).glob("*.zst"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(host.refused_or_done, *words)
        wait_until(lambda: set((host.archive / writer).glob("*.zst")) - before, "its last segment stands")
        os.kill(*host.children("console"), signal.SIGKILL)
        running.result()


def cut_while_emptying(host: Served, words: tuple[str, ...], writer: str) -> None:
    host.redis.command("ACL", "SETUSER", "default", "-unlink")
    assert "give the same command again" in host.refused(*words)
    assert list((host.archive / writer).glob("*.zst")), "its last segment stands"
    os.kill(*host.children("console"), signal.SIGKILL)
    host.redis.command("ACL", "SETUSER", "default", "+unlink")


@pytest.mark.parametrize("cut", [cut_after_agreeing, cut_after_fencing, cut_at_the_segment, cut_while_emptying])
def test_a_retirement_that_is_cut_off_is_finished_by_asking_again(
        hosts: tuple[Served, Served], cut: Callable[[Served, tuple[str, ...], str], None]) -> None:
    """With losses, so that partitions have to be emptied of what is in no archive."""
    first, second = hosts
    call(first, 2)
    first.ship()
    call(second, 6)
    second.settle_down()
    second.ship()
    first.redis.command("DEL", f"tg:{{{partition_of(first, 'account:demo')}}}:events:demo")
    busiest = max((line for line in second.cli("journal", "show") if line["where"] == "here"),
                  key=lambda line: line["record_places"])["writer"]
    writers = destroy(second)
    for writer in writers:
        if writer != busiest:
            retire_all(first, [writer])
    first.redis.command("HDEL", "tg:{a00}:live", busiest)
    words = ("journal", "retire", busiest, "--reason", "rack 7 burnt", "--by")
    assert "another person confirms" in first.refused_or_done(*words, "ann")
    cut(first, (*words, "bob"), busiest)
    wait_until(lambda: not first.refused_or_done(*words, "bob"), "asking again finishes it")
    assert first.cli_one(*words, "ann")["record"]["lost_records"] > 0
    first.wait_ready()
    first.ship()
    assert first.balance() == 100 - money.total(first.events("demo"))
    finished = canonical_dump(first.redis)
    first.cli("journal", "rebuild", "--from-zero")
    first.ship()
    assert differences(finished, canonical_dump(first.redis)) == []


def test_a_retired_hosts_open_calls_free_their_idempotency_keys(hosts: tuple[Served, Served], may_end: threading.Event) -> None:
    first, second = hosts
    answered, left_open = ({"Idempotency-Key": name} for name in ("order-1", "order-2"))

    def ask(fields: dict[str, str], body: Any = FAST) -> Any:
        with first.wire() as wire:
            return wire.ask(wire.chat(body, fields))

    with second.wire() as wire:
        assert wire.ask(wire.chat(FAST, answered)).status == 200
    second.settle_down()
    second.ship()
    with second.wire() as wire:
        wire.send(wire.chat(HELD, left_open))
        wait_until(lambda: first.account_state()["open_calls"] == 1, "it runs")
        writers = destroy(second)
    may_end.set()
    assert ask(left_open, HELD).status == 409
    for writer in writers:
        retire(first, writer)
    reply = ask(left_open, HELD)
    assert reply.is_whole and "x-tollgate-idempotent-replay" not in reply.headers
    assert ask(answered).headers["x-tollgate-idempotent-replay"] == "true"
    assert ask(left_open, HELD).headers["x-tollgate-idempotent-replay"] == "true"
    first.ship()
    assert len([event for event in first.events("demo") if event["amount"] != "0"]) == 2


def stream(host: Served) -> Any:
    with host.wire(timeout=240) as wire:
        return wire.ask(wire.chat(HELD))


def period_of_now(host: Served) -> str:
    (period,) = {json.loads(path.read_text())["first_period"] for path in (host.archive / "writers").glob("*.json")}
    return period


def test_a_directory_that_turns_up_again_is_not_written_to(hosts: tuple[Served, Served], tmp_path: Path) -> None:
    first, second = hosts
    call(second, 3)
    second.settle_down()
    second.ship()
    second.kill()
    writers = [line["writer"] for line in first.cli("journal", "show") if line["where"] != "here"]
    for writer in writers:
        retire(first, writer)
    second.serve()
    wait_until(lambda: second.log_text().count("was retired") >= len(writers), "its directories are refused")
    second.wait_ready()
    assert call(second, 2), "it goes on with fresh ones"
    assert sum(line["damaged"] for line in second.cli("journal", "show") if "damaged" in line) == len(writers)


def test_a_host_that_slept_through_its_retirement_ships_nothing_more(hosts: tuple[Served, Served], may_end: threading.Event,
                                                                     tmp_path: Path) -> None:
    """It wakes up in the middle of a call, and sees the archive as it was when it fell asleep, so that only Redis can tell it.
    What it served stays in its directory, which is adopted."""
    first, second = hosts
    kept = call(first, 2) | call(second, 3)
    second.stop_serving()
    seen = tmp_path / "archive-as-seen"
    seen.symlink_to(first.archive)
    second.options["archive"] = str(seen)
    second.write_config()
    second.serve().wait_ready()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream, second)
        wait_until(lambda: first.account_state()["open_calls"] == 1, "it runs")
        assert second.process
        asleep = second.process.family()
        for process in asleep:
            os.kill(process, signal.SIGSTOP)
        try:
            directories = sorted(second.state.glob("journal/*"))
            writers = [json.loads((directory / "writer").read_text())["writer"] for directory in directories]
            shutil.copytree(first.archive, tmp_path / "archive-of-then")
            seen.unlink()
            seen.symlink_to(tmp_path / "archive-of-then")
            records = [retire(first, writer) for writer in writers]
            first.ship()
            before = first.balance()
        finally:
            may_end.set()
            for process in asleep:
                os.kill(process, signal.SIGCONT)
        late = running.result()
    assert late.is_whole
    wait_until(lambda: "was retired and may never write again" in second.log_text(), "it learns of it")
    with second.wire() as wire:
        wait_until(lambda: wire.ask(wire.chat(FAST)).status == 503, "it serves no more")
    assert [call["request_id"] for record in records for call in record["open"]] == [late.headers["x-request-id"]]
    first.ship()
    assert first.balance() == before
    assert {event["request_id"] for event in first.events("demo")} == kept
    second.kill()
    said = [first.cli_one("journal", "adopt", str(directory)) for directory in directories]
    assert sum(one["calls"] for one in said) == 1
    assert {event["request_id"] for event in first.events("demo")} == kept | {late.headers["x-request-id"]}
    assert first.balance() == 100 - money.total(first.events("demo"))


def test_fences_are_put_back_by_a_rebuild_and_after_an_old_backup(hosts: tuple[Served, Served]) -> None:
    first, second = hosts
    call(second, 3)
    second.settle_down()
    second.ship()
    wait_until(first.redis.has_rewritten, "the backup is whole")
    backup = first.redis.folder / "appendonlydir"
    shutil.copytree(backup, first.redis.folder / "kept")
    writers = destroy(second)
    for writer in writers:
        retire(first, writer)
    everywhere = {writer: 128 for writer in writers}
    assert fences(first) == everywhere
    first.redis.command("FLUSHALL")
    first.cli("journal", "rebuild")
    assert fences(first) == everywhere
    first.redis.stop()
    shutil.rmtree(backup)
    shutil.move(first.redis.folder / "kept", backup)
    first.redis.start()
    wait_until(lambda: fences(first) == everywhere, "they are put back")


def fences(host: Served) -> dict[str, int]:
    """In how many partitions each writer is fenced off."""
    states = host.redis.command("KEYS", "tg:{*:state").splitlines()
    fields = host.redis.command("EVAL", "local all = {} for _, key in ipairs(KEYS) do for _, field in "
                                "ipairs(redis.call('HKEYS', key)) do all[#all + 1] = field end end return all",
                                str(len(states)), *states).splitlines()
    return Counter(field.removeprefix("retired ") for field in fields if field.startswith("retired "))


def test_a_directory_that_is_found_is_adopted_and_its_calls_are_booked_late(hosts: tuple[Served, Served], may_end: threading.Event,
                                                                            tmp_path: Path) -> None:
    """What never reached Redis is booked in the next month, with the month it belongs to; asked thrice at once, and
    then once more, it counts once."""
    first, second = hosts
    kept = call(first, 2) | call(second, 3)
    second.settle_down()
    second.ship()
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(stream, second) for _ in range(4)]
        wait_until(lambda: first.account_state()["open_calls"] == 4, "they run")
        first.redis.command("CLIENT", "PAUSE", "600000", "WRITE")
        may_end.set()
        lost = {run.result().headers["x-request-id"] for run in running}
        second.kill()
    period = period_of_now(second)
    go_on(first)
    directories = sorted(second.state.glob("journal/*"))
    assert "was not retired" in first.refused("journal", "adopt", str(directories[0]))
    for directory in directories:
        retire(first, json.loads((directory / "writer").read_text())["writer"])
    close(first, period, tmp_path / "bundle")
    before = first.balance()
    for directory in directories:
        with ThreadPoolExecutor(3) as pool:
            said = list(pool.map(lambda _: first.refused_or_done("journal", "adopt", str(directory)), range(3)))
        assert all(not text or "is being booked" in text for text in said) and "" in said
    again = [first.cli_one("journal", "adopt", str(directory)) for directory in directories]
    assert sum(one["calls"] for one in again) == 0 and sum(one["known_calls"] for one in again) == len(lost)
    late = [event for event in first.events("demo") if event["request_id"] in lost]
    assert len(late) == len(lost)
    assert {(event["orig_period"], event["period"]) for event in late} == {(period, after(period))}
    assert first.balance() == before - money.total(late)
    assert {event["request_id"] for event in first.events("demo")} == kept | lost
    assert first.suspense() == []


def test_what_was_named_as_lost_is_booked_when_its_directory_is_found(hosts: tuple[Served, Served]) -> None:
    """Redis had applied these calls and no longer has their records: their numbers stand in the archive as lost."""
    first, second = hosts
    kept = call(first, 2)
    first.ship()
    found = call(second, 5)
    second.settle_down()
    second.ship()
    second.kill()
    first.redis.command("DEL", f"tg:{{{partition_of(first, 'account:demo')}}}:events:demo")
    directories = sorted(second.state.glob("journal/*"))
    records = retire_all(first, [json.loads((directory / "writer").read_text())["writer"] for directory in directories])
    assert sum(record["lost_records"] for record in records) == 2 * len(found), "in the account's partition and the model's"
    first.ship()
    said = [first.cli_one("journal", "adopt", str(directory)) for directory in directories]
    assert sum(one["calls"] for one in said) == len(found)
    again = [first.cli_one("journal", "adopt", str(directory)) for directory in directories]
    assert sum(one["calls"] for one in again) == 0 and sum(one["known_calls"] for one in again) == len(found)
    first.cli("journal", "rebuild", "--from-zero")
    events = first.events("demo")
    assert found <= {event["request_id"] for event in events} <= found | kept
    assert first.balance() == 100 - money.total(events)


def test_an_adopted_call_that_stands_in_suspense_is_known(hosts: tuple[Served, Served], may_end: threading.Event) -> None:
    first, second = hosts
    call(first, 1)
    first.ship()
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(stream, second) for _ in range(2)]
        wait_until(lambda: first.account_state()["open_calls"] == 2, "they run")
        first.redis.command("CLIENT", "PAUSE", "600000", "WRITE")
        may_end.set()
        lost = {run.result().headers["x-request-id"] for run in running}
        second.kill()
    go_on(first)
    directories = sorted(second.state.glob("journal/*"))
    for directory in directories:
        retire(first, json.loads((directory / "writer").read_text())["writer"])
    partition = partition_of(first, "account:demo")
    full = f"tg:{{{partition}}}:debits:{period_of_now(first)}"
    assert first.redis.command("HEXISTS", full, "demo CNY") == "1"
    first.redis.command("HSET", full, "demo CNY", "9223372036854775807")
    for directory in directories:
        first.cli("journal", "adopt", str(directory))
    assert {entry["record"]["request_id"] for entry in first.suspense()} == lost
    again = [first.cli_one("journal", "adopt", str(directory)) for directory in directories]
    assert sum(one["calls"] for one in again) == 0 and sum(one["known_calls"] for one in again) == len(lost)
    park(first, partition)
    first.cli("journal", "rebuild")
    assert first.suspense() == []
    events = first.events("demo")
    assert lost <= {event["request_id"] for event in events} and first.balance() == 100 - money.total(events)
