"""Next month comes: the period closes, its bundle can be proven, and nothing in it can be changed unseen."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import money
import tollgate
from tollgate import PATIENCE, Dev, Served, wait_until
from upstream import Upstream

FILES = {"statements.csv", "statements.jsonl", "lines.csv", "accounts.csv", "events.jsonl.zst", "terms.json", "manifest.json",
         "manifest.sig"}


def after(period: str, months: int = 1) -> str:
    year, month = map(int, period.split("-"))
    return f"{year + (month - 1 + months) // 12:04}-{(month - 1 + months) % 12 + 1:02}"


def noon_of_the_second(period: str) -> str:
    return f"{period}-02T12:00:00+08:00"


def call(dev: Dev, count: int) -> None:
    with dev.wire() as wire:
        for number in range(count):
            text = " ".join(["word"] * (number + 1))
            body = {"model": "demo/echo", "stream": number % 2 == 0, "messages": [{"role": "user", "content": text}]}
            assert wire.ask(wire.chat(body)).status == 200
    dev.settle_down()


class Months:
    """Two closed periods and a running third one."""

    def __init__(self, dev: Dev, folder: Path) -> None:
        self.dev, self.folder = dev, folder
        dev.start()
        call(dev, 12)
        self.events = dev.events()
        (self.first,) = {event["period"] for event in self.events}
        self.second, self.third = after(self.first), after(self.first, 2)
        self.early_refusal = dev.refused("settle", "close", self.first)
        dev.restart("--clock", noon_of_the_second(self.second))
        call(dev, 7)
        self.jwks = folder / "jwks.json"
        self.jwks.write_text(json.dumps(dev.get("/.well-known/tollgate-jwks.json")))
        self.bundle, self.next_bundle = folder / "first", folder / "second"
        self.close(self.first, self.bundle)
        self.missing_export_refusal = dev.refused("settle", "export", self.second, "--out", str(folder / "none"))
        dev.restart("--clock", noon_of_the_second(self.third))
        self.close(self.second, self.next_bundle)

    def close(self, period: str, out: Path) -> None:
        """As soon as every writer has sealed the period and its seal is archived."""
        wait_until(lambda: not self.dev.cli_one("settle", "status", period)["reasons"], f"{period} can be closed")
        self.dev.cli("settle", "close", period, "--out", str(out))


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Months]:
    folder = tmp_path_factory.mktemp("months")
    with Dev(folder / "dev") as dev:
        yield Months(dev, folder)


def statements(bundle: Path) -> list[Any]:
    return [json.loads(line) for line in (bundle / "statements.jsonl").read_text().splitlines()]


def contents(bundle: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in bundle.iterdir()}


def verify(bundle: Path, *options: str) -> str | None:
    """None when it is good, else what is wrong. Needs no gateway and no config."""
    done = tollgate.run("settle", "verify", str(bundle), *options)
    assert done.returncode in (0, 1), done
    return None if done.returncode == 0 else done.stderr


def test_a_period_that_is_not_over_cannot_be_closed(months: Months) -> None:
    assert months.first in months.early_refusal and "over" in months.early_refusal
    assert "over" in months.dev.refused("settle", "close", months.third)
    for period in (after(months.third, 5), "2026-13", "2026-1", "november", ""):
        assert tollgate.run("settle", "close", period, config=months.dev.config).returncode != 0


def test_what_is_not_closed_cannot_be_exported(months: Months) -> None:
    assert months.second in months.missing_export_refusal
    assert not (months.folder / "none").exists()


def test_the_statement_is_what_the_calls_earned(months: Months) -> None:
    statement, trailer = statements(months.bundle)
    gross = money.total(months.events)
    assert (statement["creator"], statement["currency"], statement["period"]) == ("demo", "CNY", months.first)
    assert (Decimal(statement["opening"]), Decimal(statement["gross"])) == (0, gross)
    assert Decimal(statement["earned"]) == money.share(gross)
    assert set(contents(months.bundle)) == FILES
    manifest = json.loads((months.bundle / "manifest.json").read_text())
    assert manifest["testing"] is True, "a shifted clock must be stated"
    assert "statement" not in trailer
    lines = (months.bundle / "statements.csv").read_bytes().split(b"\r\n")
    assert len(lines) == 3 and lines[-1] == b"" and b"demo" in lines[1]


def test_the_events_of_the_bundle_are_those_that_were_listed(months: Months) -> None:
    text = subprocess.run(["zstd", "-dcq", str(months.bundle / "events.jsonl.zst")], capture_output=True, check=True).stdout
    kept = {event["request_id"]: event["amount"] for event in map(json.loads, text.splitlines())}
    assert kept == {event["request_id"]: event["amount"] for event in months.events}


def test_the_next_statement_opens_with_what_was_left(months: Months) -> None:
    first, second = statements(months.bundle)[0], statements(months.next_bundle)[0]
    assert second["opening"] == first["closing"] and second["period"] == months.second
    assert verify(months.next_bundle, "--previous", str(months.bundle)) is None
    assert verify(months.next_bundle) is None
    assert verify(months.next_bundle, "--previous", str(months.next_bundle))


def test_closing_and_exporting_again_give_the_kept_bytes(months: Months) -> None:
    kept = contents(months.bundle)
    for number, word in enumerate(("export", "export", "close")):
        out = months.folder / f"again-{number}"
        months.dev.cli("settle", word, months.first, "--out", str(out))
        assert contents(out) == kept, word
    out = months.folder / "again-0"
    (out / "statements.csv").write_text("spoiled")
    months.dev.cli("settle", "export", months.first, "--out", str(out))
    assert contents(out) == kept
    (out / "notes.txt").write_text("mine")
    assert "notes.txt" in months.dev.refused("settle", "export", months.first, "--out", str(out))


def test_rated_again_by_the_versions_that_they_name_the_calls_cost_what_was_charged(months: Months) -> None:
    rows = months.dev.cli("price", "rerate", months.first)
    (totals,) = statements(months.bundle)[-1]["totals"]
    assert rows and sum(Decimal(row["amount"]) for row in rows) == Decimal(totals["gross"])
    assert {(row["rerated"] == row["amount"], row["difference"], row["different"]) for row in rows} == {(True, "0", 0)}
    assert months.dev.cli("price", "rerate", "2020-01") == []


def test_a_bundle_verifies_with_the_key_and_the_archive(months: Months) -> None:
    archive = str(months.dev.state / "archive")
    for options in ([], ["--key", str(months.jwks)], ["--archive", archive], ["--key", str(months.jwks), "--archive", archive]):
        assert verify(months.bundle, *options) is None
    said = tollgate.run("settle", "verify", str(months.bundle)).stdout
    assert "unpinned" in said
    assert "unpinned" not in tollgate.run("settle", "verify", str(months.bundle), "--key", str(months.jwks)).stdout
    other = months.folder / "other.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(other)], check=True, capture_output=True)
    public = months.folder / "other-public.pem"
    subprocess.run(["openssl", "pkey", "-in", str(other), "-pubout", "-out", str(public)], check=True)
    assert verify(months.bundle, "--key", str(public))


@pytest.mark.parametrize("name", sorted(FILES))
def test_any_flipped_byte_is_found(months: Months, tmp_path: Path, name: str) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(months.bundle, bundle)
    path = bundle / name
    good = path.read_bytes()
    drawn = random.Random(name)
    places = sorted({0, 1, len(good) // 2, len(good) - 1, *(drawn.randrange(len(good)) for _ in range(20))})
    for place in places:
        for bit in (1, 32):
            path.write_bytes(good[:place] + bytes([good[place] ^ bit]) + good[place + 1:])
            wrong = verify(bundle)
            assert wrong, f"byte {place} of {name} was flipped and nobody saw it"
            if not name.startswith("manifest"):
                assert name in wrong, f"the sentence should name {name}: {wrong}"
    for spoiled in (good[:-1], good + b"\n", b"", good + good):
        path.write_bytes(spoiled)
        assert verify(bundle)
    path.unlink()
    assert verify(bundle)
    path.write_bytes(good)
    assert verify(bundle) is None


def test_a_file_too_many_is_found(months: Months, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(months.bundle, bundle)
    (bundle / "more.csv").write_text("hello")
    assert "more.csv" in (verify(bundle) or "")


def test_an_archive_that_lacks_events_is_found(months: Months, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    shutil.copytree(months.dev.state / "archive", archive)
    assert verify(months.bundle, "--archive", str(archive)) is None
    segments = [path for path in sorted(archive.glob("w-*/*.jsonl.zst"))
                if b'"kind":"call"' in subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout]
    assert segments
    good = segments[0].read_bytes()
    segments[0].unlink()
    assert verify(months.bundle, "--archive", str(archive))
    segments[0].write_bytes(good[:20] + bytes([good[20] ^ 1]) + good[21:])
    assert verify(months.bundle, "--archive", str(archive))
    segments[0].write_bytes(good)
    shutil.rmtree(archive / "writers")
    assert "is no archive: it has no folder writers" in (verify(months.bundle, "--archive", str(archive)) or "")
    assert "there is no archive" in (verify(months.bundle, "--archive", str(tmp_path / "nowhere")) or "")


def test_a_clock_that_would_run_back_is_refused(months: Months) -> None:
    months.dev.stop()
    done = tollgate.run("dev", "--state", str(months.dev.state), "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0",
                        "--clock", noon_of_the_second(months.second))
    assert done.returncode == 1 and done.stdout == "" and "--clock" in done.stderr
    months.dev.start()
    assert months.dev.balance() == 100 - money.total(months.dev.events())


def test_the_next_month_has_calls_of_its_own(months: Months) -> None:
    call(months.dev, 2)
    periods = {event["period"] for event in months.dev.events()}
    assert periods == {months.first, months.second, months.third}


def test_calls_across_midnight_fall_into_the_month_in_which_they_ended(served: Served, upstream: Upstream, tmp_path: Path) -> None:
    """The month ends under load, when segments have filled up; then it is closed while calls go on."""
    shanghai = timezone(timedelta(hours=8))
    first_of_next = (datetime.now(shanghai).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
                     + timedelta(days=32)).replace(day=1)
    ended = (first_of_next - timedelta(days=1)).strftime("%Y-%m")
    may_end = threading.Event()
    upstream.respond = lambda call: (may_end.wait(), call.stream(["at ", "last"]))
    served.backends = {"echo": {"kind": "echo"}, "slow": {"kind": "echo", "delay": "20 ms"},
                       "held": {"kind": "openai", "url": upstream.url}}
    served.options = {"testing": True, "journal_segment": "256 KiB"}
    began = time.monotonic()
    set_clock(served, first_of_next - timedelta(hours=1))
    served.start().set_up("100", [{"id": f"demo/{name}", "backends": [{"name": name}]} for name in served.backends])
    keys = [served.new_account("10")[1] for _ in range(4)]
    with Calls(served, keys) as calls:
        calls.wait_for_each()
        took = time.monotonic() - began             # a slow machine is given more time before midnight
        wait_until(lambda: len(list(served.archive.glob("w-*/*.jsonl.zst"))) > 6, "segments have filled up")
    served.stop_serving()
    offset = set_clock(served, first_of_next - timedelta(seconds=max(8, 4 * took)))
    served.serve().wait_ready()
    with Calls(served, keys) as calls, served.wire(keys[0]) as wire:
        try:
            wire.send(wire.chat({"model": "demo/held", "stream": True, "messages": [{"role": "user", "content": "a"}]}))
            calls.wait_for_each()
            wait_until(lambda: upstream.calls, "a call is held")
            assert datetime.now(UTC) + offset < first_of_next, "it is not yet midnight"
            wait_until(lambda: datetime.now(UTC) + offset > first_of_next + timedelta(seconds=2), "the next month has come",
                       4 * took + PATIENCE)
        finally:
            may_end.set()
        assert wire.reply().is_whole
        wait_until(lambda: not served.cli_one("settle", "status", ended)["reasons"], f"{ended} can be closed")
        served.cli("settle", "close", ended, "--out", str(tmp_path / "bundle"))
        calls.wait_for_each()
    assert verify(tmp_path / "bundle", "--archive", str(served.state / "archive")) is None
    text = subprocess.run(["zstd", "-dcq", str(tmp_path / "bundle" / "events.jsonl.zst")], capture_output=True, check=True).stdout
    settled = [json.loads(line) for line in text.splitlines()]
    midnight = first_of_next.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert {event["period"] for event in settled} == {ended}
    assert all(event["ended_at"] < midnight for event in settled)
    statement, _ = statements(tmp_path / "bundle")
    assert Decimal(statement["gross"]) == money.total(settled)
    later = [event for event in recent(served, keys) if event["ended_at"] >= midnight]
    assert {event["period"] for event in later} == {first_of_next.strftime("%Y-%m")}
    assert any(event["started_at"] < midnight for event in later), "no call crossed midnight"
    spent = 40 - sum(Decimal(served.get("/v1/balance", key)["balance"]) for key in keys)
    assert spent == money.total(settled) + money.total(later)


def set_clock(served: Served, then: datetime) -> timedelta:
    """By how much it is ahead of ours when the gateway starts."""
    offset = timedelta(milliseconds=int((then - datetime.now(UTC)) / timedelta(milliseconds=1)))
    served.options["clock_offset"] = offset // timedelta(milliseconds=1)
    served.write_config()
    return offset


class Calls:
    """Streams of each account, one after the other, until the context is left."""

    def __init__(self, served: Served, keys: list[str]) -> None:
        self.served, self.is_over = served, threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(key, model, number))
                        for number, (key, model) in enumerate((key, model) for key in keys for model in ("demo/echo", "demo/slow"))]
        self.answered = [0] * len(self.threads)

    def __enter__(self) -> Calls:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *rest: Any) -> None:
        self.is_over.set()
        for thread in self.threads:
            thread.join()

    def _run(self, key: str, model: str, number: int) -> None:
        with self.served.wire(key) as wire:
            while not self.is_over.is_set():
                body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "w " * 30}]}
                assert wire.ask(wire.chat(body)).is_whole
                self.answered[number] += 1

    def wait_for_each(self) -> None:
        before = list(self.answered)
        wait_until(lambda: all(now > was for now, was in zip(self.answered, before)), "each account has another answer")


def recent(served: Served, keys: list[str]) -> Iterator[Any]:
    """The accounts' calls, all pages."""
    served.ship()
    for key in keys:
        query = "?limit=1000"
        while True:
            page = served.get(f"/v1/usage{query}", key)
            yield from page["data"]
            if not page["has_more"]:
                break
            query = f"?limit=1000&before={page['data'][-1]['request_id']}"
