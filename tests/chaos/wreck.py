"""A journal directory is destroyed: one that had shipped everything, which costs nothing, or one that had not, which costs
what the guarantee names. Either way its writer is retired by two people.

Directories are read here by the frames of billing/segment.h, so that what was lost is known beforehand and to the record.
"""

from __future__ import annotations

import json
import shutil
import struct
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tollgate import run

from .evidence import RedisReader, crc32c, numbers_of

if TYPE_CHECKING:
    from .stack import Instance, Stack

FRAME = struct.Struct("<IIQ")       # length, checksum, position; then JSON
RETIRE_SECONDS = 90


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


def unshipped(stack: Stack, directory: Directory) -> dict[tuple[str, int], Any]:
    """The records that Redis has not applied."""
    redis = RedisReader(stack.redis.socket)
    try:
        cursors = {partition: int(redis.table(f"tg:{{{partition}}}:cursors").get(directory.writer, "0 -").split(" ")[0])
                   for partition in directory.crcs}
    finally:
        redis.close()
    return {place: record for place, record in directory.records.items() if place[1] > cursors[place[0]]}


def directories(instance: Instance) -> list[Directory]:
    return [read_directory(path.parent) for path in sorted(instance.journal.glob("[0-9]*/writer"))]


def destroy_shipped(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """The host is stopped in good order, one of its directories is gone when it comes back."""
    instance = stack.instances[target]
    instance.stop(60)
    try:
        found = [one for one in directories(instance) if one.records and not one.open_calls]
        whole = [one for one in found if not unshipped(stack, one)]
        if not whole:
            return "left alone: nothing had shipped everything"
        victim = whole[given["which"] % len(whole)]
        shutil.rmtree(victim.path)
    finally:
        instance.serve()
    retire(instance, victim.writer, over)
    return f"destroyed {victim.path.name} ({victim.writer}), {len(victim.records)} numbers, all shipped; retired"


def destroy_unshipped(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """The host loses Redis, goes on for a moment, dies, and a worker's directory is gone when it comes back."""
    instance = stack.instances[target]
    instance.redis_link.silence(True)
    over.wait(given["seconds"])
    instance.kill()
    instance.redis_link.cut()
    instance.redis_link.heal()
    found = [one for one in directories(instance) if one.records and one.is_of_a_worker]
    lost = {one.path: unshipped(stack, one) for one in found}
    victim = max(found, key=lambda one: len(lost[one.path]), default=None)
    if victim:
        stack.lost.update(record["request_id"] for record in lost[victim.path].values())
        stack.lost.update(victim.open_calls)
        stack.retired.add(victim.writer)
        shutil.rmtree(victim.path)
    instance.serve()
    if not victim:
        return "left alone: no worker's directory has records"
    retire(instance, victim.writer, over)
    return (f"destroyed {victim.path.name} ({victim.writer}): LOST, as the guarantee says, {len(lost[victim.path])} numbers "
            f"and {len(victim.open_calls)} open calls; retired")


def retire(instance: Instance, writer: str, over: threading.Event) -> None:
    """By two people; tried again while Redis or the console is away."""
    deadline = time.monotonic() + RETIRE_SECONDS
    for name in ("first-person", "second-person"):
        while True:
            done = run("journal", "retire", writer, "--reason", "its disk is gone", "--by", name, config=instance.config,
                       timeout=120)
            if done.returncode == 0:
                break
            assert time.monotonic() < deadline, f"journal retire {writer}: {done.stderr}"
            time.sleep(1)
