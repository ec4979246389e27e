"""python -m chaos: one run for each seed. See README.md; `sh tests/chaos/run --help` is the way in."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import tollgate

from . import clients as calling
from . import bundles, ending, faults, planted, report, world
from .books import Books
from .bundles import Close
from .checks import CHECKS
from .clients import Client
from .evidence import BalanceWatch, RedisReader, read_archive
from .ledgers import KINDS, reader
from .outages import OutageWatch
from .people import People
from .stack import Stack


def main() -> int:
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("chaos: asked to stop"))      # undoes all that stands, too
    wrong = 0
    for seed in options.seeds:
        wrong += not one_run(seed, options)
    print(f"chaos: {len(options.seeds) - wrong} of {len(options.seeds)} seeds clean", flush=True)
    return 1 if wrong else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/chaos/run", description=__doc__)
    parser.add_argument("--seed", default="", help="a number, or A..B for several runs; drawn when not given")
    parser.add_argument("--minutes", type=float, default=3.0, help="how long faults act, in each run")
    parser.add_argument("--only", default="", help="faults by name, comma-separated; a part of the name will do")
    parser.add_argument("--redis", choices=KINDS, default="alone", help="how Redis runs")
    parser.add_argument("--list", action="store_true", help="print the schedule and do nothing")
    parser.add_argument("--keep", action="store_true", help="keep what a clean run leaves, too")
    options = parser.parse_args()
    low, _, high = (options.seed or str(int.from_bytes(os.urandom(2)))).partition("..")
    options.seeds = range(int(low), int(high or low) + 1)
    options.only = [name.strip() for name in options.only.split(",") if name.strip()]
    return options


def one_run(seed: int, options: argparse.Namespace) -> bool:
    def is_chosen(fault: faults.Fault) -> bool:
        return any(name in fault.name for name in options.only) if options.only else fault.weight > 0
    plan = faults.schedule(seed, options.minutes, options.redis, is_chosen)
    print(f"\nchaos: seed {seed}, {options.minutes:g} minutes, Redis {options.redis}, {len(plan)} faults", flush=True)
    if options.list:
        print("\n".join(one.line() for one in plan))
        return True
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{seed}-"))
    run = Run(seed, options, plan, folder)
    try:
        run.do()
    except Exception as error:      # noqa: BLE001 - whatever it is, the rest is undone and the evidence kept
        run.wrong.append(f"the run broke off: {error!r}")
        raise
    finally:
        run.stack.stop()
        run.write_down()
        if run.wrong or options.keep:
            print(f"chaos: everything is kept in {folder}", flush=True)
        else:
            shutil.rmtree(folder)
    return not run.wrong


class Run:
    def __init__(self, seed: int, options: argparse.Namespace, plan: list[faults.Planned], folder: Path) -> None:
        self.seed, self.minutes, self.plan, self.folder = seed, options.minutes, plan, folder
        self.stack = Stack(folder, seed, options.minutes, options.redis)
        self.clients: list[Client] = []
        self.wrong: list[str] = []
        self.figures: dict[str, Any] = {"seed": seed, "minutes": self.minutes, "redis": options.redis}
        self.log = (folder / "chaos.log").open("w")

    def say(self, line: str) -> None:
        print(line, flush=True)
        print(line, file=self.log, flush=True)

    def do(self) -> None:
        began = time.monotonic()
        self.stack.start()
        self._skip_what_cannot_be()
        self.say(f"   stack up after {time.monotonic() - began:.1f} s")
        self._under_fire()
        self._heal()
        self._check(self._close())
        report.tell(self)

    def _skip_what_cannot_be(self) -> None:
        """A fault that this machine does not permit is said to be skipped; the others stay where they were."""
        there = {"": True, "shim": all(one.shim.is_there for one in self.stack.instances.values()),
                 "disk": all(one.is_own_disk for one in self.stack.instances.values()),
                 "archive disk": self.stack.has_archive_disk}
        skipped = {one.fault.name for one in self.plan if not there[one.fault.needs]}
        for name in sorted(skipped):
            self.say(f"   SKIPPED: {name} (no {'root to mount a small disk' if 'full' in name else 'shim.so'})")
        self.figures["skipped"] = sorted(skipped)
        self.plan = [one for one in self.plan if there[one.fault.needs]]

    def _under_fire(self) -> None:
        stack, over, quiet = self.stack, threading.Event(), asyncio.Event()
        tls = next(iter(stack.instances.values())).tls
        self.clients = [Client(name, self.seed, account, key, stack.doors, tls)
                        for name, (account, key) in stack.keys.items()]
        stack.clients = self.clients
        self.people = People(stack, self.clients, over)
        self.watch = BalanceWatch(lambda: stack.ledger.addresses, {
            one.name: world.account_key(one.name) for one in world.ACCOUNTS if one.is_prepaid}, over)
        self.outages = OutageWatch({name: one.log for name, one in stack.instances.items()})
        lanes = [faults.Lane(name, stack, [one for one in self.plan if one.lane == name], over, self.say)
                 for name in faults.LANES]

        async def call() -> None:
            await asyncio.gather(*(client.run(quiet) for client in self.clients))
        calls = asyncio.run_coroutine_threadsafe(call(), stack.traffic.loop)
        for thread in (self.outages, self.people, self.watch, *lanes):
            thread.start()
        time.sleep(self.minutes * 60)
        over.set()
        for thread in (self.people, self.watch, *lanes):
            thread.join(600)
        for lane in lanes:
            self.wrong += lane.failures
        self.wrong += self.people.failures
        self.figures["last_heal"] = self._heal_under_load()
        stack.traffic.loop.call_soon_threadsafe(quiet.set)
        calls.result(calling.CALL_SECONDS + 30)
        self.outages.stop()

    def _heal_under_load(self) -> float | None:
        """Calls go on while it heals, and some seconds longer."""
        self.say("   no more faults")
        self.wrong += ending.heal(self.stack)
        seconds = ending.attempt("healing", lambda: ending.wait_well(self.stack), self.wrong)
        time.sleep(3)
        return seconds

    def _heal(self) -> None:
        self.wrong += self.people.finish()
        self.wrong += ending.deaths_of_their_own(self.stack)
        self.figures["quiet"] = ending.attempt("becoming quiet", lambda: ending.wait_quiet(self.stack), self.wrong)
        self.left_grants = ending.attempt("what is left of grants", lambda: ending.left_of_grants(self.stack), self.wrong)
        self.receipts = ending.attempt("receipts", lambda: ending.keep_receipts(self.stack, self.clients), self.wrong)
        self.say(f"   healed: ready {report.spell(self.figures['last_heal'])}, shipped and nothing held "
                 f"{report.spell(self.figures['quiet'])}")

    def _close(self) -> Close | None:
        close = ending.attempt("closing the month", lambda: ending.close(self.stack, ending.next_month(self.stack)), self.wrong)
        if close:
            self.figures["close_tries"] = close.tries
            self.say(f"   closed on both hosts at once under fire, in {close.tries} tries")
        if self.receipts:
            self.wrong += ending.prove_receipts(self.stack, self.receipts)
            self.figures["receipts"] = len(self.receipts)
        return close

    def _check(self, close: Close | None) -> None:
        with contextlib.closing(reader(self.stack.ledger)) as redis:
            books = self._gather(redis, close)
            for check in CHECKS:
                found = list(check(books))
                self.say(f"   {'ok' if not found else f'{len(found)} WRONG'}: {check.__name__.replace('_', ' ')}")
                self.wrong += found
            if close:
                self.wrong += bundles.wrong_statements(close.bundles[0], books.by_model(books.all_events),
                                                       books.by_model(books.refund_records.values()))
                self.wrong += bundles.wrong_accounts(close.bundles[0], books)
            if not self.wrong:
                self.wrong += planted.unseen(books)
                self.say(f"   {len(planted.PLANTED)} errors planted in the evidence, "
                         f"{len(planted.PLANTED) - len(self.wrong)} seen")
            self.figures["counts"] = dict(books.counts)

    def _gather(self, redis: RedisReader, close: Close | None) -> Books:
        stack, people = self.stack, self.people
        books = Books(
            seen=[seen for client in self.clients for seen in client.calls], served=stack.upstream.served,
            writers=read_archive(stack.archive), redis=redis, credits=people.sums("credit"),
            adjustments=people.sums("adjust"), refunds=people.sums("refund"),
            asked_grants=[one for one in people.operations if one.words[1] == "grant"],
            left_grants=self.left_grants or {}, period=close.period if close else "", closed_at=close.at if close else 0.0,
            lost=stack.lost, revoking=people.revoking,
            revoked=people.revoked, outages=self.outages.outages, destroyed=stack.destroyed, certificates={name: one.certificates for name, one in stack.instances.items()},
            lowest=self.watch.lowest)
        books.lost = stack.lost | {request_id for request_id in stack.in_doubt if not books.events.get(request_id)}
        return books

    def write_down(self) -> None:
        """What is needed to look into it."""
        for name, rows in (("clients", calling.as_dicts(self.clients)), ("upstream", self.stack.upstream.as_dicts())):
            (self.folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (self.folder / "report.json").write_text(json.dumps({**self.figures, "wrong": self.wrong}, indent=1))
        for line in self.wrong[:40]:
            self.say(f"   WRONG: {line}")
        self.log.close()


if __name__ == "__main__":
    if missing := [*tollgate.missing_programs(), *([] if shutil.which("zstd") else ["zstd"])]:
        sys.exit(f"chaos needs {', '.join(missing)}: sh conf/install-deps --test")
    sys.exit(main())
