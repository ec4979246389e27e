"""The library that is loaded before all others into a gateway's processes (shim.c), and the file that it obeys."""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

import tollgate

LIBRARY = Path(os.environ.get("CHAOS_SHIM", Path(tollgate.BINARY).parent / "tests/chaos/shim.so"))
# struct orders in shim.c: how often each still fails, the errno it fails with, nanoseconds the clock is ahead.
ORDERS = struct.Struct("=iiiiq")


class Shim:
    def __init__(self, control: Path, journal: Path) -> None:
        self.is_there = LIBRARY.is_file()
        control.write_bytes(bytes(ORDERS.size))
        with control.open("r+b") as file:
            self.memory = mmap.mmap(file.fileno(), ORDERS.size)
        self.environment = {"LD_PRELOAD": str(LIBRARY), "CHAOS_ORDERS": str(control), "CHAOS_FOLDER": str(journal)} \
            if self.is_there else {}

    def order(self, *, syncs: int = 0, writes: int = 0, opens: int = 0, error: int = 0, ahead_ns: int = 0) -> None:
        """So many of the next fdatasync, write and open in the journal's folder fail with `error`."""
        self.memory[:] = ORDERS.pack(syncs, writes, opens, error, ahead_ns)

    def left(self) -> tuple[int, int, int]:
        return ORDERS.unpack(self.memory[:])[:3]
