"""Model servers that record, by the gateway's request id, what they served: the other witness of every call.

What a call gets is drawn from the run's seed and the call's own trace id, so it does not depend on order or time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from .proxy import reset
from .world import SERVERS

# words (least, most), seconds before each (least, most), bytes of each
PACE = {"quick": ((1, 12), (0.0, 0.004), 6), "words": ((5, 60), (0.003, 0.02), 12),
        "long": ((40, 200), (0.02, 0.05), 20), "wide": ((80, 250), (0.0, 0.0), 4000)}
REFUSALS = {"error": "500 Broken\r\n", "failing": "500 Broken\r\n", "taken": "503 Taken\r\n",
            "busy": "429 Busy\r\nretry-after: 1\r\n"}
MOODS = [None] * 5 + ["busy"] * 2 + ["failing"]     # of a server, for the first seconds of each while
WHILE_SECONDS, MOOD_SECONDS = 10.0, 3.0
TROUBLE = ["error"] * 2 + ["taken"] * 2 + ["break"] * 3 + ["short"]      # of 100 calls


@dataclass
class Plan:
    """What one call will get, as a pure function of seed and trace id."""

    words: int
    pause: float
    size: int
    trouble: str | None
    break_at: int
    prompt: int
    cached: int
    reasoning: int

    @property
    def units(self) -> dict[str, int]:
        """What a whole answer is billed by: the parts are disjoint."""
        units = {"input_tokens": self.prompt - self.cached, "output_tokens": self.words}
        if self.cached:
            units["cached_input_tokens"] = self.cached
        if self.reasoning:
            units["reasoning_tokens"] = self.reasoning
        return units

    @property
    def usage(self) -> dict[str, Any]:
        completion = self.words + self.reasoning
        usage: dict[str, Any] = {"prompt_tokens": self.prompt, "completion_tokens": completion,
                                 "total_tokens": self.prompt + completion}
        if self.cached:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached}
        if self.reasoning:
            usage["completion_tokens_details"] = {"reasoning_tokens": self.reasoning}
        return usage


def plan(seed: int, trace: str, model: str, body_bytes: int) -> Plan:
    draw = random.Random(f"{seed}/upstream/{trace}")
    (least, most), (soonest, latest), size = PACE[model]
    words = draw.randint(least, most)
    prompt = draw.randint(2, max(2, body_bytes // 6))
    trouble = draw.choice(TROUBLE + [None] * (100 - len(TROUBLE)))
    return Plan(words, draw.uniform(soonest, latest), size, trouble, draw.randint(0, words), prompt,
                draw.choice([0, 0, draw.randint(1, prompt - 1)]), draw.choice([0, 0, draw.randint(1, 40)]))


def mood(seed: int, server: str, seconds: float) -> str | None:
    """How a server is at that time of the run, to every call: well, busy (429, with a Retry-After), or failing (500)."""
    if server == "spare" or seconds % WHILE_SECONDS > MOOD_SECONDS:
        return None
    return random.Random(f"{seed}/mood/{server}/{seconds // WHILE_SECONDS}").choice(MOODS)


@dataclass
class Served:
    """One request as a model server saw it."""

    request_id: str
    trace: str
    server: str
    model: str
    is_stream: bool
    body_bytes: int
    began: float
    refused: bool = False       # at once, so that another server may be asked
    chunks: int = 0             # content chunks handed to the socket
    is_whole: bool = False      # everything up to the end was handed to the socket
    units: dict[str, int] = field(default_factory=dict)     # as stated, once they were sent


class Upstream:
    """Model servers on one loop, and one record of all."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.began = time.monotonic()
        self.served: dict[str, list[Served]] = {}
        self.ports: dict[str, int] = {}

    async def start(self) -> Upstream:
        for name in SERVERS:
            server = await asyncio.start_server(lambda r, w, name=name: self._serve(name, r, w), "127.0.0.1", 0)
            self.ports[name] = server.sockets[0].getsockname()[1]
        return self

    def as_dicts(self) -> list[dict[str, Any]]:
        return [asdict(served) for many in self.served.values() for served in many]

    async def _serve(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while await self._answer(name, reader, writer):
                pass
        writer.transport.abort() if writer.transport.is_closing() else writer.close()

    async def _answer(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can be used again."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
        body = await reader.readexactly(int(fields["content-length"]))
        request = json.loads(body)
        trace = fields["traceparent"].split("-")[1]
        served = Served(fields["x-request-id"], trace, name, request["model"], bool(request.get("stream")), len(body),
                        time.time())
        self.served.setdefault(served.request_id, []).append(served)
        drawn = plan(self.seed, trace, served.model, len(body))
        trouble = mood(self.seed, name, time.monotonic() - self.began)
        if not trouble and len(self.served[served.request_id]) == 1:
            trouble = drawn.trouble
        if trouble in REFUSALS:
            served.refused = True
            writer.write(f"HTTP/1.1 {REFUSALS[trouble]}content-length: 2\r\n\r\n{{}}".encode())
            await writer.drain()
            return True
        answer = _stream if served.is_stream else _plain
        return await answer(writer, served, drawn)


async def _plain(writer: asyncio.StreamWriter, served: Served, drawn: Plan) -> bool:
    await asyncio.sleep(min(drawn.pause * drawn.words, 3))
    message = {"role": "assistant", "content": "x" * min(drawn.size * drawn.words, 200_000)}
    data = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": served.model, "usage": drawn.usage,
                       "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(data))
    if drawn.trouble in ("break", "short"):
        writer.write(data[:len(data) // 2])
        await writer.drain()
        reset(writer)
        return False
    served.units = drawn.units
    writer.write(data)
    await writer.drain()
    served.is_whole = True
    return True


async def _stream(writer: asyncio.StreamWriter, served: Served, drawn: Plan) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for number in range(drawn.words):
        if drawn.trouble == "break" and number == drawn.break_at:
            reset(writer)
            return False
        if drawn.pause:
            await asyncio.sleep(drawn.pause)
        _event(writer, _chunk(f"{number:0{drawn.size}}"))
        served.chunks += 1
        await writer.drain()
    if drawn.trouble == "short":        # ends without a finish, usage or [DONE]
        writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True
    _event(writer, _chunk(None, "stop"))
    served.units = drawn.units
    _event(writer, {**_chunk(None), "choices": [], "usage": drawn.usage})
    _write(writer, b"data: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    served.is_whole = True
    return True


def _chunk(content: str | None, finish: str | None = None) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _event(writer: asyncio.StreamWriter, value: Any) -> None:
    _write(writer, b"data: " + json.dumps(value).encode() + b"\n\n")


def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
