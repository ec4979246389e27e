"""A model server that does what a test tells it, also what no server should do.

    with Upstream() as upstream:
        upstream.respond = lambda call: call.stream(["one ", "two"], usage=(3, 2))

Every request but GET /models goes to `respond`, in a thread of its own; the connection is closed when it returns
unless the answer was a plain, whole one. The head of a stream says so: nobody is to send the next request meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

MODEL = "scripted"
STREAM_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"


class Call:
    """One request that came in, and the means to answer it."""

    def __init__(self, connection: socket.socket, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        self.connection = connection
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.is_keepable = False
        self.sent_chunks = 0            # content chunks of a stream that were handed to the socket
        self.hung_up_at: float | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def send(self, data: bytes | str) -> None:
        try:
            self.connection.sendall(data.encode() if isinstance(data, str) else data)
        except OSError:
            self.hung_up_at = self.hung_up_at or time.monotonic()
            raise

    def reply(self, status: int, body: Any, **fields: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in fields.items()}}
        lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self.send(f"HTTP/1.1 {status} Because\r\n{lines}content-length: {len(data)}\r\n\r\n".encode() + data)
        self.is_keepable = True

    def complete(self, text: str, usage: tuple[int, int] | dict[str, Any] | None = (3, 2)) -> None:
        """A plain, good answer."""
        self.reply(200, {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL,
                         "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
                         **({"usage": usage_of(usage)} if usage is not None else {})})

    def begin_stream(self) -> None:
        self.send(STREAM_HEAD)

    def write(self, data: bytes | str) -> None:
        """One chunk of the transfer encoding."""
        data = data.encode() if isinstance(data, str) else data
        self.send(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def end_stream(self) -> None:
        self.send("0\r\n\r\n")

    def event(self, value: Any) -> None:
        self.write(sse(value))

    def word(self, text: str) -> None:
        self.event(chunk(text))
        self.sent_chunks += 1

    def stream(self, words: Iterable[str], usage: tuple[int, int] | dict[str, Any] | None = (3, 2), *,
               pause: float = 0.0, done: bool = True) -> None:
        """A good stream, unless `done` is false: then it just ends after its finish."""
        self.begin_stream()
        for text in words:
            self.word(text)
            time.sleep(pause)
        self.event(chunk(None, "stop"))
        if usage is not None and (self.json.get("stream_options") or {}).get("include_usage"):
            self.event(usage_chunk(usage))
        if done:
            self.write("data: [DONE]\n\n")
        self.end_stream()

    def reset(self) -> None:
        """Breaks the connection with RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def wait_for_hang_up(self, seconds: float) -> bool:
        """The gateway closes the connection within that time."""
        self.connection.settimeout(seconds)
        try:
            if self.connection.recv(1) == b"":
                self.hung_up_at = time.monotonic()
        except TimeoutError:
            pass
        except OSError:
            self.hung_up_at = time.monotonic()
        return self.hung_up_at is not None


def chunk(content: str | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    delta = {} if content is None else {"content": content}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL,
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def usage_of(usage: tuple[int, int] | dict[str, Any]) -> dict[str, Any]:
    if isinstance(usage, dict):
        return usage
    return {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": sum(usage)}


def usage_chunk(usage: tuple[int, int] | dict[str, Any]) -> dict[str, Any]:
    return {**chunk(None), "choices": [], "usage": usage_of(usage)}


def sse(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


class Upstream:
    """Listens on 127.0.0.1, on a free port unless one is given, until it is closed or its context is left. With `tls`,
    which then is its context, over TLS."""

    def __init__(self, port: int = 0, *, listens: bool = True, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.respond: Callable[[Call], None] = lambda call: call.complete("an answer")
        self.calls: list[Call] = []
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        if listens:
            self.listen()

    def listen(self) -> None:
        self._listener.listen(256)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/v1" if self._tls else f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *rest: Any) -> None:
        self.close()

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def cut(self) -> None:
        """Breaks every connection, as the death of the server would."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        connection = raw
        with contextlib.suppress(OSError):
            if self._tls:
                connection = self._tls.wrap_socket(raw, server_side=True)
            left = b""
            while True:
                call, left = read_call(connection, left)
                if not call:
                    break
                if call.method == "GET":
                    call.reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
                    continue
                self.calls.append(call)
                self.respond(call)
                if not call.is_keepable:
                    break
        with self._lock:
            self._open.discard(raw)
        connection.close()


def read_call(connection: socket.socket, left: bytes) -> tuple[Call | None, bytes]:
    while b"\r\n\r\n" not in left:
        more = connection.recv(65536)
        if not more:
            return None, b""
        left += more
    head, left = left.split(b"\r\n\r\n", 1)
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        body, left = read_chunked(connection, left)
    else:
        length = int(headers.get("content-length", 0))
        while len(left) < length:
            more = connection.recv(65536)
            if not more:
                return None, b""
            left += more
        body, left = left[:length], left[length:]
    return Call(connection, method, path, headers, body), left


def read_chunked(connection: socket.socket, left: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        while b"\r\n" not in left:
            left += connection.recv(65536)
        line, left = left.split(b"\r\n", 1)
        size = int(line, 16)
        while len(left) < size + 2:
            left += connection.recv(65536)
        body, left = body + left[:size], left[size + 2:]
        if size == 0:
            return body, left
