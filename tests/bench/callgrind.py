"""A process that runs under callgrind: what it executed since it was asked last, in instructions."""

import re
import subprocess
import time
from pathlib import Path

TOTAL = re.compile(r"^(?:summary|totals): (\d+)", re.M)


def under(dir: Path) -> tuple[str, ...]:
    """The words before a command's own; nothing is counted before start()."""
    return ("valgrind", "-q", "--tool=callgrind", "--trace-children=yes", "--instr-atstart=no", f"--callgrind-out-file={dir}/counts.%p")


class Counts:
    def __init__(self, dir: Path, pid: int):
        self.dir, self.pid, self.dumps = dir, pid, 0

    def start(self) -> None:
        self.control("-i", "on")
        self.dump()

    def dump(self) -> Path:
        """The file of what was executed since the last one."""
        self.dumps += 1
        self.control("-d")
        path = self.dir / f"counts.{self.pid}.{self.dumps}"
        by = time.monotonic() + 60
        while not (path.exists() and TOTAL.search(path.read_text())):
            if time.monotonic() > by:
                raise SystemExit("callgrind wrote no counts")
            time.sleep(0.01)
        return path

    def control(self, *words: str) -> None:
        subprocess.run(["callgrind_control", *words, str(self.pid)], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def total(counts: Path) -> int:
    found = TOTAL.search(counts.read_text())
    assert found
    return int(found[1])
