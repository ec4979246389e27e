"""What is left when all is over, read without the product: the archive with zstd, sha256 and JSON, Redis over its socket."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PARTITIONS = 64


@dataclass
class Writer:
    name: str
    records: list[Any] = field(default_factory=list)
    heads: dict[str, tuple[int, str]] = field(default_factory=dict)     # partition -> last n, its CRC
    segments: int = 0


class ArchiveIsWrong(AssertionError):
    pass


def read_archive(archive: Path) -> dict[str, Writer]:
    """Every record of every writer; hash chain, segment numbers and record numbers are proven on the way."""
    writers = {}
    for folder in sorted(archive.glob("w-*")):
        writer = writers[folder.name] = Writer(folder.name)
        previous = None
        for number, path in enumerate(sorted(folder.glob("*.jsonl.zst")), 1):
            data = subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout
            head, *lines = data.splitlines()
            stated = json.loads(head)
            if (stated["segment"], stated["previous"], stated["writer"]) != (number, previous, folder.name):
                raise ArchiveIsWrong(f"{path}: the chain is broken: {stated}")
            if stated["records"] != len(lines):
                raise ArchiveIsWrong(f"{path}: {len(lines)} records, {stated['records']} stated")
            previous = hashlib.sha256(data).hexdigest()
            writer.segments = number
            for line in lines:
                take_record(writer, line, path)
    return writers


def take_record(writer: Writer, line: bytes, path: Path) -> None:
    record = json.loads(line)
    writer.records.append(record)
    for partition, n in numbers_of(record):
        if n != writer.heads.get(partition, (0, ""))[0] + 1:
            raise ArchiveIsWrong(f"{path}: {partition} goes from {writer.heads.get(partition)} to {n}")
        writer.heads[partition] = (n, crc32c(line))


def numbers_of(record: Any) -> list[tuple[str, int]]:
    """Where a record stands in its writer's order: a partition and a number on each of its sides."""
    return [(f"{side}{record[side]:02}", record[counter]) for side, counter in (("a", "an"), ("m", "mn"))
            if counter in record]


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()


def crc32c(data: bytes) -> str:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return f"{crc ^ 0xFFFFFFFF:08x}"


class BalanceWatch(threading.Thread):
    """The lowest balance that any look at a prepaid account saw, and when. A partition that admits nobody, since Redis lost
    something and writers are putting it back, has no balance yet: calls may stand in it before the credits that paid them."""

    def __init__(self, addresses: Callable[[], list[str | int]], keys: dict[str, str], over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.addresses, self.keys, self.over = addresses, keys, over
        self.lowest: dict[str, tuple[int, float]] = {}

    def run(self) -> None:
        while not self.over.wait(0.3):
            with contextlib.suppress(OSError, AssertionError, ValueError, subprocess.TimeoutExpired), \
                    contextlib.closing(RedisReader(self.addresses())) as redis:
                for account, key in self.keys.items():
                    state = key.partition(":account:")[0] + ":state"
                    run = redis.ask("HGET", state, "run_id")
                    balance = redis.ask("HGET", key, "balance")
                    if run is not None and balance is not None and run == redis.ask("HGET", state, "run_id"):
                        seen = (int(balance), time.time())
                        self.lowest[account] = min(self.lowest.get(account, seen), seen)


class RedisReader:
    """Connections of its own to one server, or to all masters of a Cluster; only ever reads."""

    def __init__(self, addresses: list[str | int]) -> None:
        self.links = []
        for address in addresses:
            self.links.append(RedisLink(address))

    def close(self) -> None:
        for link in self.links:
            link.close()

    def ask(self, *words: str) -> Any:
        """The answer of whichever server has the key."""
        for link in self.links:
            with contextlib.suppress(MovedError):
                return link.ask(*words)
        raise AssertionError(f"no server has {words}")

    def table(self, key: str) -> dict[str, str]:
        flat = self.ask("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def keys(self, pattern: str) -> list[str]:
        return [key for link in self.links for key in link.ask("KEYS", pattern)]


class MovedError(Exception):
    pass


class RedisLink:
    def __init__(self, address: str | int) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(20)
        self.socket.connect(address if isinstance(address, str) else ("127.0.0.1", address))
        self.file = self.socket.makefile("rb")

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def ask(self, *words: str) -> Any:
        parts = [f"${len(word.encode())}\r\n{word}\r\n" for word in words]
        self.socket.sendall(f"*{len(words)}\r\n{''.join(parts)}".encode())
        return self._reply()

    def _reply(self) -> Any:
        line = self.file.readline().decode().rstrip("\r\n")
        kind, rest = line[:1], line[1:]
        if kind == "$":
            return None if rest == "-1" else self.file.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == "*":
            return [self._reply() for _ in range(int(rest))]
        if kind == "-" and rest.startswith(("MOVED", "ASK")):
            raise MovedError(rest)
        if kind not in (":", "+"):
            raise AssertionError(f"Redis: {line}")
        return int(rest) if kind == ":" else rest
