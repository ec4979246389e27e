"""Two hosts of one installation: one Redis, one archive, everything else their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import money
import tollgate
from test_month_end import after, noon_of_the_second
from tollgate import DEMO_PRICE, Served, wait_until

CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": "a b c"}]}
ONE = money.rate(DEMO_PRICE, {"input_tokens": 3, "output_tokens": 3})


@pytest.fixture
def hosts(served: Served, second: Served) -> Iterator[tuple[Served, Served]]:
    served.options = {"testing": True}
    served.start().set_up()
    second.join(served).serve().wait_ready()
    yield served, second


def call(host: Served, count: int, key: str | None = None) -> list[str]:
    """Calls one after the other; their request ids."""
    with host.wire(key) as wire:
        replies = [wire.ask(wire.chat({**CALL, "stream": number % 2 == 0})) for number in range(count)]
    assert {reply.status for reply in replies} == {200}, replies
    return [reply.headers["x-request-id"] for reply in replies]


def offset_to(time_text: str) -> int:
    """Milliseconds from now to then."""
    return int((datetime.fromisoformat(time_text) - datetime.now(UTC)) / timedelta(milliseconds=1))


def test_both_serve_one_account_and_its_credit(hosts: tuple[Served, Served]) -> None:
    first, second = hosts
    account, key = first.new_account("1")
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(call, host, 5, key) for host in (first, second, first, second)]
        answered = {request for one in done for request in one.result()}
    first.settle_down(account)
    first.ship(), second.ship()
    assert first.balance(account) == second.balance(account) == 1 - 20 * ONE
    assert {event["request_id"] for event in second.events(account)} == answered and len(answered) == 20


def test_a_preview_says_that_other_hosts_are_in_it_as_far_as_they_have_archived(
        hosts: tuple[Served, Served]) -> None:
    first, second = hosts
    call(second, 1)
    period = second.events()[-1]["period"]
    said = tollgate.run("settle", "preview", period, config=first.config, check=True).stderr
    assert "writers of other hosts are in it as far as they have archived" in said


def test_changes_through_both_consoles_are_seen_by_both(hosts: tuple[Served, Served]) -> None:
    first, second = hosts
    account, key = second.new_account("1")
    first.cli("account", "credit", account, "2", "--op", "op-of-both")
    second.cli("account", "credit", account, "2", "--op", "op-of-both")
    for host in hosts:
        host.cli("account", "adjust", account, "-0.5", "--reason", "both know", "--op", "adjusted-by-both")
        host.cli("account", "adjust", account, "0.5", "--reason", "and back", "--op", "back-by-both")
    assert first.balance(account) == second.balance(account) == Decimal(3)
    assert call(first, 1, key) and call(second, 1, key)
    first.cli("key", "revoke", key.split("-")[2])
    for host in hosts:
        with host.wire(key) as wire:
            assert wire.ask(wire.chat(CALL)).status == 401
    with ThreadPoolExecutor(2) as pool:
        applied = [pool.submit(host.cli, "apply", str(host.write_catalogue())) for host in hosts]
        assert all(one.exception() is None for one in applied)
    assert first.cli("model", "list") == second.cli("model", "list")


def test_a_host_is_ready_unless_no_account_can_be_admitted(hosts: tuple[Served, Served]) -> None:
    """A partition that is out of service is so on every host; when all are, as after a rebuild until those that live are
    back, there is nothing to send calls for."""
    first, second = hosts
    assert call(first, 2) and call(second, 2)
    first.settle_down()
    first.cli("settle", "preview", period_of(first))
    second.cli("settle", "preview", period_of(second))         # archives all of it, so nobody has to speak for it
    first.redis.command("HSET", "tg:{a00}:state", "parked", "somebody parked it")
    first.cli("journal", "rebuild")
    first.wait_ready()
    sleeper = second.workers()[0]
    os.kill(sleeper, signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as pool:
            rebuild = pool.submit(first.cli, "journal", "rebuild", "--from-zero")
            wait_until(lambda: not first.is_ready(), "nobody is admitted until the sleeper is back, or counts as gone")
            wait_until(lambda: "brought up to the journals" in str(first.try_get("/readyz")), "it says why")
            os.kill(sleeper, signal.SIGCONT)
            assert rebuild.result()[0]["emptied"] == 128
        first.wait_ready()
    finally:
        os.kill(sleeper, signal.SIGCONT)


def test_a_change_is_archived_soon_after_it_was_made(served: Served) -> None:
    """A segment of changes is sealed by its age, here a second, while calls would wait for an hour."""
    served.options = {"changes_age": "1 s"}
    served.start().set_up()
    account, _ = served.new_account("3")
    wait_until(lambda: account in archived_text(served), "it can be read in the archive")


def test_a_host_that_stops_leaves_nothing_unarchived(served: Served) -> None:
    served.start().set_up()
    answered = call(served, 3)
    served.stop_serving()
    assert all(request in archived_text(served) for request in answered)


def archived_text(host: Served) -> str:
    files = [str(path) for path in sorted(host.archive.glob("w-*/*.zst"))]
    return subprocess.run(["zstd", "-dcq", *files], capture_output=True, check=True, text=True).stdout if files else ""


def period_of(host: Served) -> str:
    return str(host.events()[0]["period"])


def test_journal_show_names_the_writers_of_both(hosts: tuple[Served, Served]) -> None:
    def here(host: Served) -> set[str]:
        return {line["writer"] for line in host.cli("journal", "show") if line["where"] == "here"}

    for host, other in (hosts, hosts[::-1]):
        own, theirs = (wait_until(lambda one=one: len(found := here(one)) == 3 and found, "two workers and a console each have one")
                       for one in (host, other))
        everywhere = {**dict.fromkeys(own, "here"), **dict.fromkeys(theirs, "elsewhere")}
        wait_until(lambda: {line["writer"]: line["where"] for line in host.cli("journal", "show")} == everywhere,
                   "the other host's writers are heard of")


def test_each_takes_up_its_own_free_directories(hosts: tuple[Served, Served]) -> None:
    first, second = hosts
    answered = call(first, 6) + call(second, 6)
    second.kill()
    second.serve().wait_ready()
    answered += call(second, 4)
    second.settle_down()
    first.ship(), second.ship()
    assert {event["request_id"] for event in first.events("demo")} == set(answered)


def test_a_month_with_both_hosts_closes_and_can_be_proven(hosts: tuple[Served, Served], tmp_path: Any) -> None:
    first, second = hosts
    answered = set(call(first, 7)) | set(call(second, 5))
    first.settle_down()
    first.ship(), second.ship()
    events = first.events("demo")
    (period,) = {event["period"] for event in events}
    second.stop_serving(), first.stop_serving()
    for host in hosts:
        host.options["clock_offset"] = offset_to(noon_of_the_second(after(period)))
        host.write_config()
    first.serve()
    reasons = first.cli_one("settle", "status", period)["reasons"]
    assert any("has not sealed" in reason for reason in reasons), "the other host's writers are waited for"
    second.serve()
    wait_until(lambda: not first.cli_one("settle", "status", period)["reasons"], "both hosts have sealed")
    bundle = tmp_path / "bundle"
    second.cli("settle", "close", period, "--out", str(bundle))
    first.cli("settle", "export", period, "--out", str(tmp_path / "same"))
    assert (bundle / "manifest.json").read_bytes() == (tmp_path / "same" / "manifest.json").read_bytes()
    (verdict,) = first.cli("settle", "verify", str(bundle), "--archive", str(first.archive))
    assert verdict["events"] == len(answered) == len(events)


def test_a_host_that_copied_nothing_is_refused(served: Served, second: Served) -> None:
    served.start().set_up()
    second.join(served)
    for name in tollgate.JOINING_FILES:
        (second.state / name).unlink()
    for done in (tollgate.run("check", config=second.config), tollgate.run("serve", config=second.config)):
        assert done.returncode == 1 and "copy installation.json, pepper, derivation.key" in done.stderr, done
    shutil.copy(served.state / "installation.json", second.state)
    done = tollgate.run("serve", config=second.config)
    assert done.returncode == 1 and "pepper" in done.stderr, done
