"""A TCP proxy that can be told to behave as badly as a network: cut, delayed, half closed, silent, not there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


class Proxy:
    """Lives on one event loop; `set` and `cut` may be called from any thread."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop, connect: Connect) -> None:
        self.name, self.loop, self.connect = name, loop, connect
        self.port = 0
        self.delay = 0.0
        self.is_refusing = False
        self.flows = asyncio.Event()        # clear: nothing passes in either direction
        self.links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()

    async def start(self) -> Proxy:
        self.flows.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return self

    # --- from any thread

    def refuse(self, is_refusing: bool) -> None:
        """Connections that come are reset at once; those that stand stay."""
        self.is_refusing = is_refusing

    def slow(self, seconds: float) -> None:
        """Every piece waits that long before it is passed on."""
        self.delay = seconds

    def silence(self, is_silent: bool) -> None:
        """Nothing passes and nothing breaks."""
        self.loop.call_soon_threadsafe(self.flows.clear if is_silent else self.flows.set)

    def cut(self) -> None:
        """Resets every connection."""
        self.loop.call_soon_threadsafe(self._cut)

    def half_close(self) -> None:
        """The server's side of every connection sees its end, and goes on sending."""
        self.loop.call_soon_threadsafe(self._half_close)

    def heal(self) -> None:
        self.refuse(False)
        self.slow(0.0)
        self.silence(False)

    # --- on the loop

    def _cut(self) -> None:
        for near, far in list(self.links):
            reset(near)
            reset(far)

    def _half_close(self) -> None:
        for _, far in list(self.links):
            with contextlib.suppress(OSError, RuntimeError):
                far.write_eof()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            reset(writer)
            return
        try:
            far_reader, far_writer = await self.connect()
        except OSError:
            reset(writer)
            return
        link = (writer, far_writer)
        self.links.add(link)
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self.links.discard(link)
            for end in link:
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until the end of one direction, which is passed on as such; a reset is, too."""
        try:
            while data := await reader.read(65536):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self.flows.wait()
                writer.write(data)
                await writer.drain()
            await self.flows.wait()
            with contextlib.suppress(OSError, RuntimeError):
                writer.write_eof()
        except (OSError, RuntimeError):     # RuntimeError: it was half closed meanwhile, so what comes is lost
            reset(writer)


def reset(writer: asyncio.StreamWriter) -> None:
    """Breaks the connection with RST, or at least at once."""
    raw = writer.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0 and raw.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def to_unix(path: str) -> Connect:
    return lambda: asyncio.open_unix_connection(path)


def to_port(port: int) -> Connect:
    return lambda: asyncio.open_connection("127.0.0.1", port)
