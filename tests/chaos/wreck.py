"""A journal directory is destroyed: one that had shipped everything, which costs nothing, or one that had not, which costs
what the guarantee names. Either way its writer is retired by two people.

Directories are read here by the frames of billing/segment.h, so that what was lost is known beforehand and to the record.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tollgate import run, wait_until

from . import acts
from .evidence import crc32c, numbers_of
from .ledgers import reader

if TYPE_CHECKING:
    from .stack import Instance, Stack

FRAME = struct.Struct("<IIQ")       # length, checksum, position; then JSON
RETIRE_SECONDS = 600
FULL_SECONDS = 120     # longer than a host takes to stop
UNSOUND = {"parked", "rebuilding", "applying", "pending_run", "pending_blank"}      # of a partition's state


@dataclass
class Directory:
    """What a journal directory that nobody holds has in it."""

    path: Path
    writer: str
    records: dict[tuple[str, int], Any] = field(default_factory=dict)       # (partition, n) -> record
    crcs: dict[str, tuple[int, str]] = field(default_factory=dict)          # partition -> last n, its CRC
    open_calls: set[str] = field(default_factory=set)

    @property
    def is_of_a_worker(self) -> bool:
        return all(record["kind"] == "call" for record in self.records.values())


def read_directory(path: Path) -> Directory:
    directory = Directory(path, json.loads((path / "writer").read_text())["writer"])
    for segment in sorted([*path.glob("*.seg"), *path.glob("*.open")]):
        for line in frames(segment.read_bytes()):
            record = json.loads(line)
            if record["kind"] in ("begin", "progress"):
                directory.open_calls.add(record["request_id"])
            elif record["kind"] == "call":
                directory.open_calls.discard(record["request_id"])
            for partition, n in numbers_of(record):
                directory.records[partition, n] = record
                directory.crcs[partition] = (n, crc32c(line))
    return directory


def frames(data: bytes) -> list[bytes]:
    """Up to the first that is not whole: what was torn was never acknowledged."""
    found, at = [], 0
    while at + FRAME.size <= len(data):
        length, crc, _ = FRAME.unpack_from(data, at)
        line = data[at + FRAME.size:at + FRAME.size + length]
        if not length or len(line) < length or int(crc32c(line), 16) != crc:
            break
        found.append(line)
        at += FRAME.size + length
    return found


@dataclass
class Unshipped:
    lost: list[Any]         # records that Redis has not applied
    in_doubt: list[Any]     # and those in a partition that does not admit: it may yet be emptied, or filled from the archive


def unshipped(stack: Stack, directory: Directory) -> Unshipped:
    found = Unshipped([], [])
    cursors: dict[str, int | None] = {}
    with contextlib.closing(reader(stack.ledger)) as redis:
        for partition in directory.crcs:
            state = redis.table(f"tg:{{{partition}}}:state")
            cursor = redis.table(f"tg:{{{partition}}}:cursors").get(directory.writer, "0 -")
            is_admitting = "run_id" in state and not UNSOUND & set(state)
            cursors[partition] = int(cursor.split(" ")[0]) if is_admitting else None
    for (partition, n), record in directory.records.items():
        cursor = cursors[partition]
        if cursor is None:
            found.in_doubt.append(record)
        elif n > cursor:
            found.lost.append(record)
    return found


@contextlib.contextmanager
def directories(instance: Instance) -> Iterator[list[Directory]]:
    """Those that nobody holds, and nobody gets hold of meanwhile: a command may have a console of its own at work in one."""
    with contextlib.ExitStack() as locks:
        found = []
        for path in sorted(instance.journal.glob("[0-9]*/lock")):
            lock = locks.enter_context(path.open("r+b"))
            with contextlib.suppress(OSError):
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found.append(read_directory(path.parent))
        yield found


def destroy_shipped(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """The host is stopped in good order while nothing can be archived, one of its directories is gone when it comes back:
    what was in it since the archive's last file is in Redis alone. One that has nothing of that is taken only when all are so."""
    instance = stack.instances[target]
    instance.wait_alive()
    try:
        with full_archive(stack):
            instance.stop_in_order()
            with directories(instance) as free:
                whole = [one for one in free if one.records and not one.open_calls and is_shipped(stack, one)]
                whole = [one for one in whole if is_ahead(stack.archive, one)] or whole
                victim = whole[given["which"] % len(whole)] if whole else None
                if victim:
                    shutil.rmtree(victim.path)
    finally:
        if not instance.process:
            instance.serve()
    if not victim:
        return "left alone: nothing had shipped everything"
    said = retire(instance, victim.writer, over)
    ended = {record.get("request_id") for record in victim.records.values()}
    if said["lost_records"] or ended & {call["request_id"] for call in said["open"]}:
        raise AssertionError(f"{victim.writer} had shipped everything, and its retirement says {said}")
    stack.destroyed[victim.writer] = victim.crcs
    return (f"destroyed {victim.path.name} ({victim.writer}), {len(victim.records)} numbers, all shipped; retired, "
            f"{said['saved']} records completed from Redis")


def is_ahead(archive: Path, directory: Directory) -> bool:
    """It has records that the archive lacks."""
    heads: dict[str, tuple[int, str]] = {}
    for path in sorted((archive / directory.writer).glob("*.jsonl.zst"))[-1:]:
        data = subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout
        heads = json.loads(data.partition(b"\n")[0])["heads"]
    return any(n > heads.get(partition, (0, ""))[0] for partition, (n, _) in directory.crcs.items())


@contextlib.contextmanager
def full_archive(stack: Stack) -> Iterator[None]:
    """Where it has a small disk."""
    if not stack.has_archive_disk:
        yield
        return
    over = threading.Event()
    filling = threading.Thread(target=acts.fill, daemon=True,
                               args=(stack.archive / "filler-of-a-stop", {"seconds": FULL_SECONDS}, over))
    filling.start()
    try:
        wait_until(lambda: os.statvfs(stack.archive).f_bavail == 0, "the archive is full")
        yield
    finally:
        over.set()
        filling.join()


def is_shipped(stack: Stack, directory: Directory) -> bool:
    """False also when Redis can't be asked."""
    try:
        found = unshipped(stack, directory)
        return not found.lost and not found.in_doubt
    except (OSError, AssertionError):
        return False


def destroy_unshipped(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """The host loses Redis, goes on for a moment, dies, and a worker's directory is gone when it comes back."""
    instance = stack.instances[target]
    if not instance.redis_link:
        return "left alone: no link to Redis to cut"
    instance.redis_link.silence(True)
    over.wait(given["seconds"])
    instance.kill()
    instance.redis_link.cut()
    instance.redis_link.heal()
    with directories(instance) as free:
        found = [one for one in free if one.records and one.is_of_a_worker]
        lost = {one.path: unshipped(stack, one) for one in found}
        victim = max(found, key=lambda one: len(lost[one.path].lost), default=None)
        if victim:
            stack.lost.update(record["request_id"] for record in lost[victim.path].lost)
            stack.lost.update(victim.open_calls)
            stack.in_doubt.update(record["request_id"] for record in lost[victim.path].in_doubt)
            shutil.rmtree(victim.path)
    instance.serve()
    if not victim:
        return "left alone: no worker's directory has records"
    said = retire(instance, victim.writer, over)
    gone = {record["request_id"] for record in lost[victim.path].lost} | victim.open_calls
    named = gone & {call["request_id"] for call in said["open"]}
    return (f"destroyed {victim.path.name} ({victim.writer}): LOST, as the guarantee says: {len(gone)} calls, {len(named)} of "
            f"them named by journal retire, {said['saved']} records saved from Redis")


def retire(instance: Instance, writer: str, over: threading.Event) -> Any:
    """By two people, once the writer has been silent for half a minute; tried again while Redis or the console is away.
    What the record of it says."""
    deadline = time.monotonic() + RETIRE_SECONDS
    for name in ("first-person", "second-person"):
        while True:
            done = run("journal", "retire", writer, "--reason", "its disk is gone", "--by", name, "--json",
                       config=instance.config, timeout=120)
            if done.returncode == 0:
                break
            assert time.monotonic() < deadline, f"journal retire {writer}: {done.stderr}"
            time.sleep(1)
    return json.loads(done.stdout)["record"]
