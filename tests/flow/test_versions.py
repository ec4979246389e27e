"""Prices and contracts are superseded and never edited; co-owners share a model's month by weight."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import money
import tollgate
from test_month_end import after, noon_of_the_second, statements, verify
from tollgate import Dev, Served, wait_until

OLD, NEW = {"call": "1", "input_tokens": "0", "output_tokens": "0"}, {"call": "3", "input_tokens": "0", "output_tokens": "0"}
WEIGHTS = {"ann": 2, "bea": 1}
DIME = {"dime": {"call": "0.10", "input_tokens": "0", "output_tokens": "0"}}
CALL = {"model": "ann/shared", "messages": [{"role": "user", "content": "one"}]}


def catalogue(price_from: str, units: dict[str, str], contract_from: str, share_bp: int) -> dict[str, Any]:
    return {"currency": "CNY",
            "creators": [{"id": "ann", "name": "Ann", "contract": {"share_bp": share_bp, "from": contract_from}},
                         {"id": "bea", "name": "Bea", "contract": {"share_bp": 1000, "from": "2026-01-01T00:00:00Z"}}],
            "prices": [{"id": "shared", "from": price_from, "units": units}],
            "models": [{"id": "ann/shared", "owners": [{"creator": id, "weight": weight} for id, weight in WEIGHTS.items()],
                        "surfaces": ["chat"], "backends": [{"name": "echo", "model": "demo/echo"}], "price": "shared",
                        "max_output_tokens": 100}]}


def at(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


class Story:
    """A month in which price and contract of a model with two owners are superseded between two calls."""

    def __init__(self, dev: Dev, folder: Path) -> None:
        self.dev, self.folder = dev, folder
        dev.start()
        self.apply("2026-01-01T00:00:00Z", OLD, "2026-01-01T00:00:00Z", 7000)
        self.period = self.call()["period"]
        self.next = after(self.period)
        dev.restart("--clock", noon_of_the_second(self.next))
        self.first = self.call()
        now = datetime.fromisoformat(self.first["ended_at"]).astimezone(UTC)
        soon, then = at(now + timedelta(seconds=30)), at(now + timedelta(hours=1))
        self.refusals = [self.refused(soon, NEW, "2026-01-01T00:00:00Z", 7000),
                         self.refused("2026-01-01T00:00:00Z", OLD, soon, 8000),
                         self.refused("2026-01-01T00:00:00Z", NEW, "2026-01-01T00:00:00Z", 7000)]
        path = self.write(then, NEW, then, 8000)
        self.shown = tollgate.run("apply", path, "--dry-run", config=dev.config, check=True).stdout
        self.dry = dev.cli("apply", path, "--dry-run")
        self.apply(then, NEW, then, 8000)
        self.then = then
        self.second = self.call()
        dev.restart("--clock", at(now + timedelta(hours=2)))
        self.third = self.call()
        dev.restart("--clock", noon_of_the_second(after(self.next)))
        for period in (self.period, self.next):
            wait_until(lambda: not dev.cli_one("settle", "status", period)["reasons"], f"{period} can be closed")
            dev.cli("settle", "close", period, "--out", str(folder / period))

    def write(self, *versions: Any) -> str:
        path = self.folder / "catalogue.json"
        path.write_text(json.dumps(catalogue(*versions)))
        return str(path)

    def apply(self, *versions: Any) -> None:
        self.dev.cli("apply", self.write(*versions))

    def refused(self, *versions: Any) -> str:
        return self.dev.refused("apply", self.write(*versions))

    def call(self) -> Any:
        with self.dev.wire() as wire:
            def answer() -> Any:
                reply = wire.ask(wire.chat(CALL))
                return reply if reply.status == 200 else None
            reply = wait_until(answer, "the model is known to every worker")
        self.dev.settle_down()
        return next(event for event in self.dev.events() if event["request_id"] == reply.headers["x-request-id"])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("versions")
    with Dev(folder / "dev") as dev:
        yield Story(dev, folder)


def test_a_version_in_force_is_superseded_60_s_ahead_at_least(story: Story) -> None:
    price, contract, edited = story.refusals
    assert "must begin at least 60 s ahead" in price and "shared" in price
    assert "must begin at least 60 s ahead" in contract and "ann" in contract
    assert "shared" in edited, "what a version says is never edited"


def test_a_dry_run_shows_what_was_and_what_is_to_be(story: Story) -> None:
    changes = {change["object"]: change for change in story.dry}
    assert set(changes) == {"price", "contract"} and {change["change"] for change in story.dry} == {"supersede"}
    assert changes["contract"]["members"] == [{"name": "share", "before": "70 %", "after": "80 %"}]
    assert changes["price"]["supersedes"].startswith("shared@2026-01-01")
    lines = story.shown.splitlines()
    assert f"+ price {changes['price']['id']}, after {changes['price']['supersedes']}" in lines
    assert [line.split() for line in lines if "->" in line] == \
        [["share", "70", "%", "->", "80", "%"], ["call", "1", "->", "3"]]
    assert lines[-1] == "0 to add, 0 to change, 2 to supersede; 4 stay as they are"


def test_a_call_is_charged_by_the_version_of_its_beginning(story: Story) -> None:
    assert [event["amount"] for event in (story.first, story.second, story.third)] == ["1", "1", "3"]
    assert story.first["price"] == story.second["price"] != story.third["price"]
    assert story.third["creators"] == [{"id": id, "weight": weight} for id, weight in WEIGHTS.items()]


def test_co_owners_share_by_weight_what_the_first_ones_contract_gives(story: Story) -> None:
    def split(total: str, share_bp: int) -> dict[str, Decimal]:
        pool = money.share(Decimal(total), share_bp)
        low = {id: (pool * weight / 3).quantize(money.NANO, "ROUND_DOWN") for id, weight in WEIGHTS.items()}
        left = pool - sum(low.values())
        first = max(WEIGHTS, key=lambda id: (pool * WEIGHTS[id] / 3 - low[id], -list(WEIGHTS).index(id)))
        return {**low, first: low[first] + left}

    old, new = split("2", 7000), split("3", 8000)
    earned = {line["creator"]: Decimal(line["earned"]) for line in statements(story.folder / story.next)[:-1]}
    assert {id: earned[id] for id in WEIGHTS} == {id: old[id] + new[id] for id in WEIGHTS}
    assert sum(earned.values()) == Decimal("1.4") + Decimal("2.4")


def test_months_with_two_versions_can_be_proven_and_rated_again(story: Story) -> None:
    for period in (story.period, story.next):
        assert verify(story.folder / period, "--archive", str(story.dev.state / "archive")) is None
    (row,) = story.dev.cli("price", "rerate", story.next)
    assert (row["model"], row["events"], row["amount"], row["rerated"], row["different"]) == ("ann/shared", 3, "5", "5", 0)
    done = tollgate.run("price", "rerate", story.next, config=story.dev.config, check=True)
    assert "cost what was charged" in done.stderr
    done = tollgate.run("price", "rerate", after(story.next), config=story.dev.config, check=True)
    assert done.stderr == "the archive has no event of that month\n"


def test_what_no_price_in_the_archive_explains_is_told_call_by_call(served: Served) -> None:
    """The worker's calls are archived before the console's record of their price is."""
    served.backends = {"fast": {"kind": "echo"}}
    served.options = {"workers": 1, "changes_age": "1 h"}
    served.start().set_up("1", [{"id": "demo/fast", "price": "dime", "backends": [{"name": "fast"}]}], DIME)
    with served.wire(served.key, 120) as wire:
        assert wire.ask(wire.chat({"model": "demo/fast", "messages": CALL["messages"]})).status == 200
    (event,) = served.events()
    (worker,) = served.workers()
    (writer,) = [one["writer"] for one in served.cli("journal", "show") if one.get("owner_pid") == worker]
    os.kill(worker, signal.SIGUSR1)
    wait_until(lambda: list((served.archive / writer).glob("*.jsonl.zst")), "the worker's segment is archived", 120)
    done = tollgate.run("price", "rerate", event["period"], "--json", config=served.config)
    (row,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, row["amount"], row["rerated"], row["different"]) == (1, "0.1", "0", 1)
    assert "1 of the archived events" in done.stderr and event["request_id"] in done.stderr and "nowhere stated" in done.stderr
    (console,) = served.children("console")
    os.kill(console, signal.SIGUSR1)
    wait_until(lambda: "cost what was charged" in served.refused_or_done("price", "rerate", event["period"]), "the price is archived too", 120)
