"""Clients that call all the time, each in its own way, and record what they saw of every call."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from . import world
from .certificates import fingerprint
from .proxy import reset

CALL_SECONDS = 60       # then a client gives up, which is one more way to hang up


@dataclass
class Seen:
    """One call as its client saw it."""

    trace: str
    client: str
    account: str
    key: str                    # public id
    instance: str
    model: str
    is_stream: bool
    manner: str
    words: int = 0              # of its question
    dialed: float = 0.0         # wall clock: when its connection was begun
    certificate: str = ""       # which that connection was shown
    sent: float = 0.0
    answered: float = 0.0       # when the head came
    ended: float = 0.0
    request_id: str = ""
    status: int = 0
    code: str = ""              # x-tollgate-code of a refusal
    chunks: int = 0             # content chunks received whole
    saw_end: bool = False       # the end of the answer, or a part of what leaves only after END
    way: str = ""               # how it ended: whole, eof, reset, hung_up, no_connection
    cost: str = ""
    receipt: str = ""
    errand: str = ""            # its Idempotency-Key
    replays: str = ""           # the call that it was told was answered before, under the same key


@dataclass
class Link:
    door: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    dialed: float
    certificate: str


class Client:
    """Uses one key; its calls follow each other. Everything it decides is drawn from the seed and its name."""

    def __init__(self, name: str, seed: int, account: str, key: str, doors: dict[str, int], tls: ssl.SSLContext) -> None:
        self.name, self.account, self.key = name, account, key
        self.doors, self.tls = doors, tls
        self.draw = random.Random(f"{seed}/client/{name}")
        self.calls: list[Seen] = []
        self.receipts: dict[str, str] = {}
        self.link: Link | None = None
        self.errand_since = 0.0         # a call was first made that may be repeated; 0: none may be
        self.on_refused: Callable[[Seen], None] = lambda seen: None

    async def run(self, is_over: asyncio.Event) -> None:
        while not is_over.is_set():
            seen = self._think()
            self.errand_since = time.time() if seen.errand else 0.0
            await self._rest(await self.call(seen))
            if seen.errand:
                for _ in range(self.draw.choice([0, 1, 1, 2, 4])):
                    await self._rest(await self.call(self._again(seen)))
        self.errand_since = 0.0
        self._drop()

    async def _rest(self, seen: Seen) -> None:
        pause = self.draw.uniform(0.02, 0.25)
        await asyncio.sleep(pause if seen.status == 200 else 0.3 + pause)

    def _think(self) -> Seen:
        """What to call, and how."""
        draw = self.draw
        seen = Seen(f"{draw.getrandbits(128):032x}", self.name, self.account, "", "", draw.choice(world.MODELS).name,
                    draw.random() < 0.75, draw.choices(["reads", "leaves", "flees", "dawdles"], [76, 9, 6, 9])[0])
        seen.words = draw.randint(1, 200)
        seen.errand = f"errand-{seen.trace}" if draw.random() < 0.15 else ""
        return seen

    def _again(self, seen: Seen) -> Seen:
        """The same request, byte for byte, under the same key."""
        return Seen(f"{self.draw.getrandbits(128):032x}", self.name, self.account, "", "", seen.model, seen.is_stream,
                    self.draw.choice(["reads", "reads", "leaves", "flees"]), seen.words, errand=seen.errand)

    async def call(self, seen: Seen) -> Seen:
        draw = self.draw
        secret = self.key       # which may be changed meanwhile
        seen.key = secret.split("-")[2]
        door = draw.choice(sorted(self.doors))
        is_fresh, patience = draw.random() < 0.2, draw.uniform(0.0, 0.6)
        leaves_after = draw.randint(0, 40)
        self.calls.append(seen)
        seen.sent = time.time()
        try:
            async with asyncio.timeout(patience if seen.manner == "flees" else CALL_SECONDS):
                await self._connect(door, is_fresh)
                seen.instance, seen.dialed, seen.certificate = door, self.link.dialed, self.link.certificate
                await self._ask(seen, secret)
                await self._read(seen, leaves_after)
        except TimeoutError:
            seen.way = "hung_up"
        except ConnectionError:
            seen.way = "reset" if self.link else "no_connection"
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            seen.way = "eof" if self.link else "no_connection"
        seen.ended = time.time()
        if seen.way != "whole":
            self._drop()
        if seen.status not in (0, 200):
            self.on_refused(seen)
        elif seen.saw_end and seen.receipt and draw.random() < 0.1:
            self.receipts.setdefault(seen.request_id, "")
        return seen

    async def _connect(self, door: str, is_fresh: bool) -> None:
        if self.link and (is_fresh or self.link.door != door):
            self._drop()
        if not self.link:
            dialed = time.time()
            reader, writer = await asyncio.open_connection("127.0.0.1", self.doors[door], ssl=self.tls,
                                                           server_hostname="localhost", limit=65536)
            shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            self.link = Link(door, reader, writer, dialed, fingerprint(shown))

    def _drop(self) -> None:
        if self.link:
            link, self.link = self.link, None
            reset(link.writer)

    async def _ask(self, seen: Seen, secret: str) -> None:
        request: dict[str, Any] = {"model": seen.model, "messages": [{"role": "user", "content": "word " * seen.words}]}
        if seen.is_stream:
            request |= {"stream": True, "stream_options": {"include_usage": True}}
        body = json.dumps(request).encode()
        errand = f"Idempotency-Key: {seen.errand}\r\n" if seen.errand else ""
        writer = self.link.writer
        writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {secret}\r\n{errand}"
                     f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                     f"traceparent: 00-{seen.trace}-{seen.trace[:16]}-01\r\n\r\n".encode() + body)
        await writer.drain()

    async def _read(self, seen: Seen, leaves_after: int) -> None:
        reader = self.link.reader
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        seen.answered = time.time()
        seen.status, seen.request_id = int(head.split(" ")[1]), fields.get("x-request-id", "")
        seen.code = fields.get("x-tollgate-code", "")
        seen.cost, seen.receipt = fields.get("x-tollgate-cost", ""), fields.get("x-tollgate-receipt", "")
        if "content-length" in fields:
            body = await reader.readexactly(int(fields["content-length"]))
            seen.saw_end = seen.status == 200
            if fields.get("x-tollgate-idempotent-replay") == "true":
                seen.replays = seen.request_id
            elif seen.status == 410:
                seen.replays = json.loads(body)["error"]["request_id"]
        else:
            await self._read_stream(seen, reader, leaves_after)
        if not seen.way:
            seen.way = "whole"
        if fields.get("connection") == "close":
            self._drop()

    async def _read_stream(self, seen: Seen, reader: asyncio.StreamReader, leaves_after: int) -> None:
        """An event that has arrived counts also when the connection ends in the middle of a chunk of the framing."""
        events = Events(seen)
        left = b""
        while True:
            more = await reader.read(2048 if seen.manner == "dawdles" else 65536)
            if not more:
                events.take(left.partition(b"\r\n")[2])
                seen.way = "eof"
                return
            left += more
            left, data, is_over = dechunk(left)
            events.take(data)
            if is_over:
                return
            if seen.manner == "leaves" and seen.chunks >= leaves_after:
                seen.way = "hung_up"
                return
            if seen.manner == "dawdles":
                await asyncio.sleep(0.004)


class Events:
    """Counts the content of the events of a stream as they become whole."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.left = b""

    def take(self, data: bytes) -> None:
        self.left += data
        *whole, self.left = self.left.split(b"\n\n")
        for event in whole:
            self._one(event)

    def _one(self, event: bytes) -> None:
        seen = self.seen
        for line in event.split(b"\n"):
            if line.startswith(b": x-tollgate-cost: "):
                seen.saw_end, seen.cost = True, line.rsplit(b" ", 1)[1].decode()
            elif line.startswith(b": x-tollgate-receipt: "):
                seen.receipt = line.rsplit(b" ", 1)[1].decode()
            elif line == b"data: [DONE]":
                seen.saw_end = True
            elif line.startswith(b"data: {"):
                value = json.loads(line[6:])
                if value.get("error", {}).get("code") == "answered_before":
                    seen.replays = value["error"]["request_id"]
                seen.saw_end = seen.saw_end or bool(value.get("usage"))
                seen.chunks += any((choice.get("delta") or {}).get("content") for choice in value.get("choices", []))


def dechunk(data: bytes) -> tuple[bytes, bytes, bool]:
    """What is left, the payload of all whole chunks, and whether the last one was among them."""
    payload = []
    while (end := data.find(b"\r\n")) >= 0:
        size = int(data[:end], 16)
        if len(data) < end + 4 + size:
            break
        payload.append(data[end + 2:end + 2 + size])
        data = data[end + 4 + size:]
        if not size:
            return data, b"".join(payload), True
    return data, b"".join(payload), False


def as_dicts(clients: list[Client]) -> list[dict[str, Any]]:
    return [asdict(seen) for client in clients for seen in client.calls]


async def fetch(door: int, tls: ssl.SSLContext, key: str, path: str) -> tuple[int, str]:
    """One GET on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door, ssl=tls, server_hostname="localhost")
    with contextlib.closing(writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields.get("content-length", "0")))
        return int(head.split(" ")[1]), body.decode()
