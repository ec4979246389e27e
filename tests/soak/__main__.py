"""python -m soak: one run. See README.md; `sh tests/soak/run --help` is the way in."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path

import money
from model_server import MODEL as SERVED_MODEL
from model_server import ModelServer
from tollgate import PATIENCE, SLOWER, Served, make_certificate, wait_until

from . import books
from .clients import MODEL, Client

CREDIT = "100"
# As the operator of a slow model server sets it: a call may wait long for its turn, and a reload for what runs.
OPTIONS = {"drain_timeout": "1 h", "handshake_timeout": "1 min", "head_timeout": "1 min", "total_timeout": "1 h"}
BACKEND = {"kind": "openai", "first_byte_timeout": "1 h", "idle_timeout": "10 min", "total_timeout": "1 h",
           "keepalive_idle": "2 s"}


def main() -> int:
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("soak: asked to stop"))
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with ModelServer(timeout=PATIENCE * SLOWER) as server, Served(folder / "served", make_certificate(folder)) as gateway:
        wrong = Soak(gateway, server, options).run()
        if wrong:
            shutil.copy(gateway.log, folder / "kept.log")
    for line in wrong[:100]:
        print(line)
    print(f"soak: {len(wrong)} things are wrong; all of it is in {folder}" if wrong else "soak: clean", flush=True)
    if not wrong:
        shutil.rmtree(folder)
    return 1 if wrong else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/soak/run", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--reloads", type=int, default=None)
    options = parser.parse_args()
    if options.reloads is None:
        options.reloads = int(options.minutes)
    return options


class Soak:
    def __init__(self, gateway: Served, server: ModelServer, options: argparse.Namespace) -> None:
        self.gateway, self.options = gateway, options
        gateway.options = dict(OPTIONS)
        gateway.backends = {"small": {**BACKEND, "url": server.url}}
        self.over = threading.Event()
        self.keys: dict[str, str] = {}
        self.credits: dict[str, Decimal] = {}
        self.began = time.monotonic()

    def run(self) -> list[str]:
        self.set_up()
        clients = self.clients()
        self.tell(f"{len(clients)} clients, {self.options.minutes:g} minutes, {self.options.reloads} reloads")
        self.began = time.monotonic()
        for client in clients:
            client.start()
        died = self.reload_now_and_then(clients)
        self.over.set()
        for client in clients:
            client.join()
        return died + self.judge(clients)

    def set_up(self) -> None:
        self.gateway.start().set_up(CREDIT, [{"id": MODEL, "backends": [{"name": "small", "model": SERVED_MODEL}]}])
        self.gateway.cli("account", "create", "later", "--currency", "CNY", "--postpaid", "--credit-limit", CREDIT)
        self.credits = {"demo": Decimal(CREDIT), "later": Decimal(0)}
        for account in self.credits:
            self.gateway.cli("account", "limit", account, "--concurrency", str(2 * self.options.clients))

    def clients(self) -> list[Client]:
        made = []
        for number in range(self.options.clients):
            account = ("demo", "later")[number // 2 % 2]
            key = self.gateway.cli_one("key", "create", account)["secret"]
            self.keys[account] = key
            made.append(Client(self.gateway, number, account, key, self.over))
        return made

    def reload_now_and_then(self, clients: list[Client]) -> list[str]:
        """Evenly spread over the time; each is waited for, and then until every client has an answer again."""
        pause = self.options.minutes * 60 / (self.options.reloads + 1)
        for number in range(1, self.options.reloads + 1):
            self.over.wait(max(0.0, self.began + number * pause - time.monotonic()))
            self.reload()
            before = [len(client.seen) for client in clients]
            wait_until(lambda before=before: all(client.errors or len(client.seen) > count
                                                 for client, count in zip(clients, before, strict=True)),
                       "every client has an answer again", timeout=10 * PATIENCE)
            self.tell(f"reload {number}: {sum(len(client.seen) for client in clients)} answers, "
                      f"{sum(len(client.errors) for client in clients)} errors, {len(self.gateway.workers())} workers")
        self.over.wait(max(0.0, self.began + self.options.minutes * 60 - time.monotonic()))
        return [f"the log has {count} times {event}" for event in ("child_died", "reload_given_up", "reload_refused")
                if (count := self.logged(event))]

    def reload(self) -> None:
        before = self.logged("reloaded")
        os.kill(self.gateway.pid, signal.SIGHUP)
        wait_until(lambda: self.logged("reloaded") > before, "the reload has taken place")

    def logged(self, event: str) -> int:
        return self.gateway.log_text().count(f'"event":"{event}"')

    def judge(self, clients: list[Client]) -> list[str]:
        seen = [one for client in clients for one in client.seen]
        errors = [error for client in clients for error in client.errors]
        silent = [f"{client.name} ({client.way.name}) never had an answer" for client in clients if not client.seen]
        read = books.read(self.gateway, self.keys, self.credits, seen)
        ways = Counter({client.way.name: 0 for client in clients})
        for client in clients:
            ways[client.way.name] += len(client.seen)
        self.tell("answers: " + ", ".join(f"{count} {name}" for name, count in sorted(ways.items())))
        slowest, patient = max(client.slowest_s for client in clients), sum(client.retries == 0 for client in clients)
        self.tell(f"{len(seen)} answers in {time.monotonic() - self.began:.0f} s, the slowest after {slowest:.1f} s; {patient} of "
                  f"{len(clients)} clients ask only once; {len(errors)} errors")
        self.tell(f"the clients' usage comes to {money.spelled(sum((books.cost(one) for one in seen), Decimal(0)))} CNY, the accounts "
                  f"paid {money.spelled(sum(read.debits.values(), Decimal(0)))}, the creator's gross is {money.spelled(read.gross)}; "
                  f"{sum(receipt is not None for receipt in read.receipts.values())} receipts proved")
        wrong = books.wrongs(read)
        return errors + silent + wrong + ([] if wrong else books.blind_spots(read))

    def tell(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.0f} s  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
