"""After the last fault: everything heals, everything is shipped and sealed, the month is over and closes, receipts are proven."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import tollgate
from tollgate import run, wait_until

from . import world
from .bundles import Close, close_under_fire
from .clients import Client, fetch
from .evidence import RedisReader
from .ledgers import reader
from .stack import Stack

RECEIPTS_MAX = 100


def heal(stack: Stack) -> list[str]:
    """No fault acts any more, and every process that should run does; which had ended that nobody had ended."""
    gone = []
    for instance in stack.instances.values():
        instance.shim.order()
        for link in instance.links:
            link.heal()
        if not instance.is_serving():
            instance.process = None
            instance.serve()
            gone.append(f"the master of {instance.name} had ended")
    return gone + stack.ledger.heal()


def deaths_of_their_own(stack: Stack) -> list[str]:
    """Processes that a signal ended which is not the SIGKILL of this harness: a crash, an assertion."""
    found = []
    for instance in stack.instances.values():
        for line in instance.log_text().splitlines():
            if '"child_died"' in line and "by signal" in line and "signal 9 " not in line:
                found.append(f"{instance.name}: {line}")
            elif not line.startswith("{"):
                found.append(f"{instance.name}: not a line of its log: {line}")
    return found


def wait_well(stack: Stack) -> float:
    """Seconds until all workers of both instances say that they are ready."""
    began = time.monotonic()
    for instance in stack.instances.values():
        instance.wait_ready()
    return time.monotonic() - began


def wait_quiet(stack: Stack) -> float:
    """Seconds until all is shipped, no hold is left, and grants that end soon are over; the sweeper's two looks are 60 s
    apart."""
    began, began_at = time.monotonic(), time.time()
    for instance in stack.instances.values():
        wait_until(lambda instance=instance: run("journal", "ship", config=instance.config, timeout=120).returncode == 0,
                   f"{instance.name} has shipped everything", 120)
    with contextlib.closing(reader(stack.ledger)) as redis:
        wait_until(lambda: not redis.keys("tg:{a??}:holds:*"), "no hold is left", 240)
        wait_until(lambda: not grants_until(redis, began_at + 300), "grants that end are taken back", 180)
    return time.monotonic() - began


def grants_until(redis: RedisReader, at: float) -> list[str]:
    """Those that end by then and are not over."""
    return [one for key in redis.keys("tg:{a??}:expiring")
            for one in redis.ask("ZRANGEBYSCORE", key, "-inf", str(int(at * 1000)))]


def left_of_grants(stack: Stack) -> dict[str, dict[str, int]]:
    """By account and operation, as the one and the other host say it in turn."""
    hosts = itertools.cycle(stack.instances.values())
    return {account.name: {grant["grant"]: world.nanos(grant["left"])
                           for grant in next(hosts).account_state(account.name)["grants"]} for account in world.ACCOUNTS}


def keep_receipts(stack: Stack, clients: list[Client]) -> dict[str, Path]:
    """Receipts of calls whose end was seen, fetched with the key of the account; by request id."""
    kept = {}
    folder = stack.folder / "receipts"
    folder.mkdir()
    for client in clients:
        instance = stack.instances[client.draw.choice(sorted(stack.instances))]
        for request_id in [one for one in client.receipts if one not in stack.lost | stack.in_doubt][:RECEIPTS_MAX // len(clients) + 1]:
            status, body = stack.traffic.do(fetch(instance.port, instance.tls, client.key,
                                                  f"/v1/usage/{request_id}/receipt"))
            assert status == 200, f"the receipt of {request_id}: {status} {body}"
            kept[request_id] = folder / f"{request_id}.jws"
            kept[request_id].write_text(body)
    return kept


def next_month(stack: Stack) -> str:
    """Both instances are started again in the next month; the period that is over."""
    now = datetime.now(world.ZONE)
    period = now.strftime("%Y-%m")
    target = world.month_end(now) + timedelta(days=1, hours=12)
    for instance in stack.instances.values():
        instance.stop_in_order()
    for instance in stack.instances.values():
        instance.clock_ms = int((target - now) / timedelta(milliseconds=1))
        instance.serve()
    wait_well(stack)
    return period


def close(stack: Stack, period: str) -> Close:
    """Closed on both hosts at once, under fire; each proves the other's bundle."""
    last: list[Any] = []

    def can_close() -> bool:
        last[:] = next(iter(stack.instances.values())).cli_one("settle", "status", period)["reasons"]
        return not last
    try:
        wait_until(can_close, f"{period} can be closed", 90)
    except AssertionError:
        raise AssertionError(f"{period} can't be closed: {last}") from None
    close = close_under_fire(stack, period)
    with contextlib.closing(reader(stack.ledger)) as redis:
        wait_until(lambda: not grants_until(redis, close.at), "grants that have ended are taken back", 120)
    first, second = stack.instances.values()
    first.cli("settle", "verify", str(close.bundles[1]), "--archive", str(stack.archive), timeout=300)
    second.cli("settle", "verify", str(close.bundles[0]), "--archive", str(stack.archive), timeout=300)
    return close


def prove_receipts(stack: Stack, receipts: dict[str, Path]) -> list[str]:
    config = next(iter(stack.instances.values())).config
    wrong = []
    for request_id, path in receipts.items():
        done = run("receipt", "verify", str(path), "--archive", str(stack.archive), config=config)
        if done.returncode != 0:
            wrong.append(f"receipt of {request_id}: {done.stderr.strip()}")
    return wrong


def attempt(what: str, do: Callable[[], Any], wrong: list[str]) -> Any:
    """One step of the ending; its failure is a finding, and the next step is tried all the same."""
    try:
        return do()
    except (AssertionError, OSError, tollgate.CommandFailed, TimeoutError) as error:
        wrong.append(f"{what}: {error}")
        return None
