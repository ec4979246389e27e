"""What docs/finance.md prints for reading the archive without Tollgate, run as it is printed."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tollgate import PATIENCE, SLOWER, Served

MANUAL = Path(__file__).parents[2] / "docs/finance.md"
SECTION = "## The archive without Tollgate\n"


def commands() -> list[str]:
    """The section's blocks: walk the chain, count, add up, seals."""
    section = MANUAL.read_text().partition(SECTION)[2].partition("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(found) == 4, "the manual has other blocks than this test knows"
    return found


def run(archive: Path, block: str) -> str:
    done = subprocess.run(["sh", "-eu", "-c", block], cwd=archive, capture_output=True, text=True, timeout=PATIENCE * SLOWER,
                          check=False)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


class Archived:
    """A gateway whose calls, in three goes, are all archived."""

    def __init__(self, served: Served) -> None:
        served.options = {"workers": 1}
        served.start().set_up()
        self.served, self.archive = served, served.state / "archive"
        self.accounts = dict(served.new_account("10") for _ in range(2))
        for number in range(3):
            for words, key in enumerate(self.accounts.values(), start=1):
                with served.wire(key) as wire:
                    for _ in range(4 * words):
                        assert wire.ask(wire.chat({"model": "demo/echo", "messages": [{"role": "user", "content": "w " * words}]})).is_whole
            served.ship()
            self.events: list[Any] = [event for key in self.accounts.values() for event in served.get("/v1/usage?limit=1000", key)["data"]]
            served.cli("settle", "preview", self.events[0]["period"], "--out", str(served.state.parent / f"preview-{number}"))


@pytest.fixture(scope="module")
def archived(serve_for_module: Callable[[str], Served]) -> Iterator[Archived]:
    yield Archived(serve_for_module("by-hand"))


def test_the_chain_ends_where_the_manifest_says(archived: Archived) -> None:
    said = run(archived.archive, commands()[0])
    assert "BROKEN" not in said
    manifest = json.loads((archived.served.state.parent / "preview-2/manifest.json").read_text())
    covered = {writer["writer"]: writer["sha256"] for writer in manifest["writers"] if writer["sha256"]}
    assert dict(line.split(": ") for line in said.splitlines()) == covered
    assert any(len(list(folder.iterdir())) > 2 for folder in archived.archive.glob("w-*")), "no chain of several files"


def test_calls_are_counted_and_added_up(archived: Archived) -> None:
    _, count, add, _ = commands()
    (period,) = {event["period"] for event in archived.events}
    assert run(archived.archive, count).split() == [str(len(archived.events)), period]
    charged: dict[str, Decimal] = {}
    for account, key in archived.accounts.items():
        listed = archived.served.get("/v1/usage?limit=1000", key)["data"]
        charged[f"{account} {period} CNY"] = sum((Decimal(event["amount"]) for event in listed), Decimal(0)) * 10**9
    assert json.loads(run(archived.archive, add)) == charged


def test_no_seal_before_the_month_is_over(archived: Archived) -> None:
    assert run(archived.archive, commands()[3]) == ""


def test_a_change_is_seen_in_the_file_behind_it(archived: Archived, tmp_path: Path) -> None:
    copy = tmp_path / "archive"
    subprocess.run(["cp", "-r", str(archived.archive), str(copy)], check=True)
    folder = next(folder for folder in sorted(copy.glob("w-*")) if len(list(folder.iterdir())) > 2)
    first, second = sorted(folder.iterdir())[:2]
    text = subprocess.run(["zstd", "-dcq", str(first)], capture_output=True, check=True).stdout
    changed = text.replace(b'"share_bp":7000', b'"share_bp":7001', 1)
    assert changed != text
    subprocess.run(["zstd", "-qf", "-o", str(first)], input=changed, check=True)
    broken = [line for line in run(copy, commands()[0]).splitlines() if "BROKEN" in line]
    assert broken == [f"BROKEN: {folder.name}/{second.name}"]
