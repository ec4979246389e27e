"""The month's close: asked for on both hosts at once while what they need dies under them, and what it says, added up anew."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tollgate import BINARY

from . import acts, world
from .books import Books
from .stack import Instance, Stack

BLOWS = 10
CLOSE_SECONDS = 300


class Closer(threading.Thread):
    """Closes a month on one host, again and again, until that succeeds when no more blows fall."""

    def __init__(self, instance: Instance, period: str, out: Path, is_calm: threading.Event) -> None:
        super().__init__(daemon=True)
        self.is_calm = is_calm
        self.command = [BINARY, "settle", "close", period, "--out", str(out), "-c", str(instance.config)]
        self.popen: subprocess.Popen[str] | None = None
        self.tries, self.said, self.is_done = 0, "", False

    def run(self) -> None:
        deadline = time.monotonic() + CLOSE_SECONDS
        while not self.is_done and time.monotonic() < deadline:
            self.tries += 1
            was_calm = self.is_calm.is_set()
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                          stderr=subprocess.PIPE, text=True)
            self.said = self.popen.communicate()[1].strip()
            self.is_done = was_calm and self.popen.returncode == 0
            if not self.is_done:
                time.sleep(0.05)

    def kill(self) -> None:
        if self.popen:
            self.popen.kill()


@dataclass
class Close:
    period: str
    at: float                   # by the hosts' clock
    bundles: list[Path]         # of each host
    tries: int


def close_under_fire(stack: Stack, period: str) -> Close:
    """On both hosts at once, while consoles and the commands themselves are killed and the archive is full: both bundles, the
    same byte for byte."""
    draw = random.Random(f"{stack.seed}/close")
    made = [stack.folder / f"bundle-{name}" for name in stack.instances]
    is_calm = threading.Event()
    closers = [Closer(instance, period, out, is_calm) for instance, out in zip(stack.instances.values(), made, strict=True)]
    for closer in closers:
        closer.start()
    for _ in range(BLOWS):
        time.sleep(draw.uniform(0.0, 0.5))
        instance = draw.choice(list(stack.instances.values()))
        victim = draw.choice(["console", "archive", *closers])
        if isinstance(victim, Closer):
            victim.kill()
        elif victim == "archive" and stack.has_archive_disk:
            acts.fill_archive(stack, "both", {"seconds": 0.7}, threading.Event())
        else:
            for pid in instance.children("console"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    is_calm.set()
    for closer in closers:
        closer.join(CLOSE_SECONDS + 60)
        assert closer.is_done, f"{' '.join(closer.command[1:])}: tried {closer.tries} times, at last: {closer.said}"
    first, second = ({path.name: path.read_bytes() for path in out.iterdir()} for out in made)
    assert first == second, f"two closes of {period} differ in {[name for name in first if first[name] != second.get(name)]}"
    at = time.time() + min(instance.clock_ms for instance in stack.instances.values()) / 1000
    return Close(period, at, made, sum(closer.tries for closer in closers))


def wrong_statements(bundle: Path, gross: Counter[str], refunded: Counter[str]) -> list[str]:
    """Statements that do not say what the models' calls (nanos by model) earned, or do not sum to them."""
    *statements, _ = (json.loads(line) for line in (bundle / "statements.jsonl").read_text().splitlines())
    said = {one["creator"]: world.nanos(one["earned"]) - world.nanos(one["refunds"]) for one in statements}
    due = {name: nanos for name, nanos in world.earned(gross - refunded).items() if nanos or name in said}
    wrong = [] if said == due else [f"statements: creators earned {due}, and they say {said}"]
    total = sum(world.nanos(one["gross"]) for one in statements)
    if total != sum(gross.values()):
        wrong.append(f"statements: their gross is {total}, the events sum to {sum(gross.values())}")
    return wrong


def wrong_accounts(bundle: Path, books: Books) -> list[str]:
    """Rows of accounts.csv that do not say what moved each account, kind by kind."""
    granted = {name: (sum(one.nanos for one in grants), sum(one.taken() for one in grants))
               for name, grants in books.grants_in(books.period).items()}
    debits, wrong = books.debits, []
    with (bundle / "accounts.csv").open(newline="") as file:
        said = {row["account"]: row for row in csv.DictReader(file)}
    for account in world.ACCOUNTS:
        name = account.name
        given, taken = granted.get(name, (0, 0))
        due = {"credited": books.credits[name], "granted": given, "expired": -taken, "adjusted": books.adjustments[name],
               "refunded": books.refunds[name], "charged": -debits[name]}
        due["change"] = sum(due.values())
        found = {column: world.nanos(said.get(name, {}).get(column, "0")) for column in due}
        if found != due:
            wrong.append(f"accounts.csv: {name} was moved by {due}, and it says {found}")
    return wrong
