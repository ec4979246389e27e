"""HTTP/1.1 over TLS by hand, for what no well-behaved client would send, and to see exactly what came back."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any


class Reply:
    """One answer: what of it came, and whether it ended as HTTP says it must."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.is_whole = False           # the framing was complete; false: broken off

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """OpenAI's error object."""
        assert self.headers.get("content-type", "").startswith("application/json"), self
        return self.json()["error"]

    def events(self) -> list[str]:
        """The data of every event whose end came, in order."""
        return events_of(self.body)

    def comments(self) -> list[str]:
        return [line[1:].strip() for line in self.body.decode().splitlines() if line.startswith(":")]

    def __repr__(self) -> str:
        return f"Reply({self.status}, {self.headers}, {self.body[:400]!r}, is_whole={self.is_whole})"


def events_of(body: bytes) -> list[str]:
    found = []
    for block in body.replace(b"\r\n", b"\n").split(b"\n\n")[:-1]:
        lines = [line[5:].strip() for line in block.decode().split("\n") if line.startswith("data:")]
        if lines:
            found.append("\n".join(lines))
    return found


def content_chunks(events: list[str]) -> int:
    """Chunks that carry content: what a stream that was cut short is billed by, one each."""
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    return sum(any((choice.get("delta") or {}).get("content") for choice in chunk.get("choices", [])) for chunk in chunks)


class Wire:
    """One TLS connection. Replies are read as they come; nothing is sent that the test did not ask for."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext, key: str, timeout: float) -> None:
        self.key = key
        self.timeout = timeout
        self.raw = socket.create_connection((host, port), timeout)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw_port: int = self.raw.getsockname()[1]
        self.socket = tls.wrap_socket(self.raw, server_hostname=host)
        self.host = f"{host}:{port}"
        self.left = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *rest: Any) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.close()

    def reset(self) -> None:
        """Breaks the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def half_close(self) -> None:
        """close_notify, then FIN: no more will be sent, but all will be read."""
        self.socket.setblocking(False)
        with contextlib.suppress(ssl.SSLError, OSError):
            self.socket.unwrap()
        self.socket.settimeout(self.timeout)
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_WR)

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data.encode() if isinstance(data, str) else data)

    def head(self, method: str, path: str, fields: dict[str, Any] | None = None, version: str = "HTTP/1.1") -> bytes:
        """A head with Host and the key; a field that is None is left out."""
        given = {"Host": self.host, "Authorization": f"Bearer {self.key}", **(fields or {})}
        lines = [f"{name}: {value}\r\n" for name, value in given.items() if value is not None]
        return f"{method} {path} {version}\r\n{''.join(lines)}\r\n".encode()

    def chat(self, body: Any, fields: dict[str, Any] | None = None) -> bytes:
        """A whole chat request, head and body."""
        return self.post("/v1/chat/completions", body, fields)

    def post(self, path: str, body: Any, fields: dict[str, Any] | None = None) -> bytes:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.head("POST", path,
                         {"Content-Type": "application/json", "Content-Length": len(data), **(fields or {})}) + data

    def ask(self, data: bytes | str, method: str = "POST") -> Reply:
        self.send(data)
        return self.reply(method)

    def receive(self) -> bytes:
        """Some bytes; none at the end of the connection, however it ended."""
        try:
            return self.socket.recv(65536)
        except (ConnectionError, ssl.SSLError) as error:
            if isinstance(error, (ssl.SSLWantReadError, ssl.SSLWantWriteError)):
                raise
            return b""

    def is_closed(self, seconds: float = 90.0) -> bool:
        """The other side closes within that time, and sends nothing before."""
        self.socket.settimeout(seconds)
        try:
            return self.left == b"" and self.receive() == b""
        except TimeoutError:
            return False

    def reply(self, method: str = "POST") -> Reply:
        """The next answer, as far as it comes."""
        reply = Reply()
        for _ in self.stream(reply, method):
            pass
        return reply

    def stream(self, reply: Reply, method: str = "POST") -> Iterator[Reply]:
        """Yields after the head and whenever more of the body came; returns at its end."""
        if not self._read_head(reply):
            return
        while 100 <= reply.status < 200:
            if not self._read_head(reply):
                return
        yield reply
        if method == "HEAD" or reply.status in (204, 304):
            reply.is_whole = True
        elif reply.headers.get("transfer-encoding") == "chunked":
            yield from self._read_chunks(reply)
        elif "content-length" in reply.headers:
            yield from self._read_length(reply, int(reply.headers["content-length"]))
        else:
            yield from self._read_to_end(reply)

    def interim(self) -> int:
        """The status of the next head, which has no body: 100 for Expect."""
        reply = Reply()
        self._read_head(reply)
        return reply.status

    def _line(self) -> bytes | None:
        while b"\r\n" not in self.left:
            more = self.receive()
            if not more:
                return None
            self.left += more
        line, self.left = self.left.split(b"\r\n", 1)
        return line

    def _read_head(self, reply: Reply) -> bool:
        line = self._line()
        if line is None:
            return False
        reply.status, reply.headers = int(line.split()[1]), {}
        while line := self._line():
            name, _, value = line.decode().partition(":")
            reply.headers[name.lower()] = value.strip()
        return line == b""

    def _read_chunks(self, reply: Reply) -> Iterator[Reply]:
        while (line := self._line()) is not None:
            size = int(line.split(b";")[0], 16)
            before, length = reply.body, 0
            while len(self.left) < size + 2:
                more = self.receive()
                if not more:
                    reply.body = before + self.left[:size]
                    return
                self.left += more
                length = min(size, len(self.left))
                reply.body = before + self.left[:length]
                yield reply
            reply.body, self.left = before + self.left[:size], self.left[size + 2:]
            if size == 0:
                reply.is_whole = True
                return
            yield reply

    def _read_length(self, reply: Reply, length: int) -> Iterator[Reply]:
        while len(self.left) < length:
            more = self.receive()
            if not more:
                reply.body = self.left
                return
            self.left += more
            yield reply
        reply.body, self.left = self.left[:length], self.left[length:]
        reply.is_whole = True

    def _read_to_end(self, reply: Reply) -> Iterator[Reply]:
        reply.body, self.left = self.left, b""
        while more := self.receive():
            reply.body += more
            yield reply
        reply.is_whole = True


def send_slowly(wire: Wire, data: bytes, pause: float) -> int:
    """A byte at a time until it is all sent or the other side has closed; how many were taken."""
    for sent, byte in enumerate(data):
        try:
            wire.send(bytes([byte]))
        except OSError:
            return sent
        time.sleep(pause)
    return len(data)
