"""What Redis executes for a call's scripts: instructions in user space, counted by callgrind over the same commands each time.

    python3 tests/bench/scripts.py [--scripts DIR] [--calls N] [--batch N] [--days N] [--budget NANOS] [--grants N]

So a busy machine counts what a quiet one does. Each call is admitted by itself, with as many open as a batch has; a batch is then
applied to the account's partition and to the model's. --days: on so many days before this one there were calls; --budget: of a
day and of a month, of the account; --grants: so many it was given that are over, and two that are not; then a look at them and a
decision of what is to be taken back of one are counted too. Needs redis-server and valgrind.
"""

import argparse
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from callgrind import Counts, total, under

PARTS = {"admit": "decimal rate claim budget admit",
         "apply_account": "decimal rate claim apply refund spent terms grant funds apply_account",
         "apply_model": "decimal apply refund apply_model",
         "grants": "decimal grant grants"}
ACCOUNT, MODEL, MONTH, TODAY = "tg:{a17}:", "tg:{m05}:", "2026-11", 22
KEY, NAME = "17abcdefghij", "demo/upstream"
FIXED = ("state", "cursors", "suspense", "records", "ops", "trimmed")
LINE = '{"kind":"call","x":"' + "y" * 560 + '"}'


class Redis:
    """One that runs under callgrind."""

    def __init__(self, dir: Path):
        self.process = subprocess.Popen(
            [*under(dir), "redis-server", "--port", "0", "--unixsocket", f"{dir}/s", "--appendonly", "yes", "--save", "", "--dir", str(dir)],
            stdout=subprocess.DEVNULL)
        self.counts = Counts(dir, self.process.pid)
        while not (dir / "s").exists():
            time.sleep(0.1)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{dir}/s")
        self.file = self.socket.makefile("rb")

    def ask(self, *words) -> object:
        parts = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self.answer()

    def answer(self) -> object:
        line = self.file.readline()
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise SystemExit(f"Redis: {text}")
        if kind == b"*":
            return [self.answer() for _ in range(int(text))]
        if kind == b"$":
            return None if text == "-1" else self.file.read(int(text) + 2)[:-2].decode()
        return text

    def count(self) -> int:
        """Since it was asked last."""
        return total(self.counts.dump())


class Calls:
    def __init__(self, redis: Redis, scripts: Path):
        self.redis, self.made, self.applied, self.funded, self.day = redis, 0, 0, 0, TODAY
        self.sha = {name: redis.ask("SCRIPT", "LOAD", "\n".join((scripts / f"{part}.lua").read_text() for part in parts.split()))
                    for name, parts in PARTS.items()}

    def eval(self, script: str, keys: list[str], args: list[object]) -> None:
        answer = self.redis.ask("EVALSHA", self.sha[script], len(keys), *keys, *args)
        if answer[0] != "OK" or (script.startswith("apply") and answer[5] != "0"):
            raise SystemExit(f"{script}: {answer}")

    def spent(self) -> list[str]:
        return [f"{ACCOUNT}spent:demo:{MONTH}-{self.day:02}:CNY", f"{ACCOUNT}spent:demo:{MONTH}:CNY"]

    def admit(self) -> str:
        self.made += 1
        request = f"req_{self.made:020}"
        keys = ["state", f"key:{KEY}", "account:demo", "holds:demo", "index:demo", "held", f"released:{request}", "rate:demo", f"rate:key:{KEY}"]
        self.eval("admit", [ACCOUNT + key for key in keys] + self.spent(),
                  ["inst", "run", "demo", request, "w000001", 1234567, "", "CNY", 700, "", f"{MONTH}-{self.day:02}", NAME, ""])
        return request

    def fund(self, kind: str, *fields: object) -> None:
        """Of another writer: calls are numbered by themselves."""
        self.funded += 1
        keys = [*FIXED, "account:demo", "booked", "grants:demo", "expiring", "never"]
        self.eval("apply_account", [ACCOUNT + key for key in keys],
                  ["inst", 64, "w000002", "journal", self.funded, f"{self.funded:08x}", kind, LINE, 0, 4, len(fields), *fields])

    def give(self, name: str, at: int, ends: int) -> None:
        self.fund("grant", "demo", name, "CNY", 10**6, at, MONTH, ends * 10**9, at * 10**6)

    def take_back(self, name: str, at: int) -> None:
        self.fund("expiry", "demo", name, "CNY", 4 * 10**5, at, MONTH, at * 10**6 + 6 * 10**5, 0, 0)

    def look(self) -> None:
        self.eval("grants", [ACCOUNT + key for key in ("state", "account:demo", "grants:demo")], ["look"])

    def decide(self, name: str) -> None:
        self.eval("grants", [ACCOUNT + key for key in ("state", "account:demo", "grants:demo")],
                  ["expire", "inst", "run", "w000002", name, 10**18])

    def apply(self, requests: list[str]) -> None:
        keys, args = [ACCOUNT + key for key in FIXED], ["inst", 64, "w000001", "journal"]
        for n, request in enumerate(requests, self.applied + 1):
            keys += [ACCOUNT + key for key in ("account:demo", "holds:demo", f"debits:{MONTH}", "events:demo", "index:demo", "rate:demo",
                                               f"rate:key:{KEY}")] + self.spent()
            args += [n, f"{n:08x}", "call", LINE, 0, 9, 7, "demo", request, "CNY", 1234000, 260, KEY, NAME]
        self.eval("apply_account", [*keys, f"{ACCOUNT}never"], args)

    def earn(self, requests: list[str]) -> None:
        fixed = ("state", "cursors", "suspense", "records", "catalogue", "trimmed")
        keys, args = [MODEL + key for key in fixed], ["inst", 64, "w000001", "journal"]
        for n in range(self.applied + 1, self.applied + len(requests) + 1):
            keys += [f"{MODEL}gross:{MONTH}", f"{MODEL}calls:{NAME}"]
            args += [n, f"{n:08x}", "call", LINE, 0, 2, 2, f"{NAME} {MONTH}-{self.day:02} CNY demo@2026-11-01T00:00:00.000Z 7000 demo:1", 1234000]
        self.eval("apply_model", [*keys, f"{MODEL}never"], args)
        self.applied += len(requests)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scripts", type=Path, default=Path(__file__).parents[2] / "billing/scripts")
    parser.add_argument("--calls", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--days", type=int, default=0)
    parser.add_argument("--budget", type=int, default=0)
    parser.add_argument("--grants", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollgate-scripts-") as name:
        redis = Redis(Path(name))
        try:
            measure(redis, options)
        finally:
            redis.process.terminate()
            redis.process.wait()


def measure(redis: Redis, options: argparse.Namespace) -> None:
    redis.ask("HSET", f"{ACCOUNT}state", "installation", "inst", "partitions", 64, "run_id", "run")
    redis.ask("HSET", f"{ACCOUNT}key:{KEY}", "owner_kind", "account", "owner", "demo", "state", "active", "expires_at", 0, "rpm", 0, "tpm", 0,
              "budget_day", 0, "budget_month", 0)
    redis.ask("HSET", f"{ACCOUNT}account:demo", "opened", 1, "currency", "CNY", "mode", "prepaid", "balance", 10**14, "room", 10**14,
              "credit_limit", 0, "concurrency", 0, "rpm", 0, "tpm", 0, "budget_day", options.budget, "budget_month", options.budget)
    calls = Calls(redis, options.scripts)
    for day in [*range(TODAY - options.days, TODAY), *[TODAY] * 50]:
        calls.day = day
        requests = [calls.admit()]
        calls.apply(requests)
        calls.earn(requests)
    for i in range(options.grants or 0):
        calls.give(f"daily-{i}", i, i + 1)
        calls.take_back(f"daily-{i}", i)
    redis.counts.start()
    counts = dict.fromkeys(["admit", "apply_account", "apply_model"], 0)
    for _ in range(options.calls // options.batch):
        requests = [calls.admit() for _ in range(options.batch)]
        counts["admit"] += redis.count()
        calls.apply(requests)
        counts["apply_account"] += redis.count()
        calls.earn(requests)
        counts["apply_model"] += redis.count()
    made = options.calls // options.batch * options.batch
    print("instructions a call: " + ", ".join(f"{name} {n / made:,.0f}" for name, n in counts.items()) + f", together {sum(counts.values()) / made:,.0f}")
    if options.grants is not None:
        measure_grants(redis, calls, options.grants)


def measure_grants(redis: Redis, calls: Calls, over: int) -> None:
    steps = {"giving one": lambda: calls.give("now", over, over + 10), "giving another": lambda: calls.give("later", over, over + 20),
             "a look": calls.look, "deciding": lambda: calls.decide("now"), "taking back": lambda: calls.take_back("now", over)}
    counts = {name: (step(), redis.count())[1] for name, step in steps.items()}
    used = redis.ask("MEMORY", "USAGE", f"{ACCOUNT}grants:demo", "SAMPLES", 0)
    print("instructions: " + ", ".join(f"{name} {n:,}" for name, n in counts.items()) + f"; grants in memory: {used} bytes")


if __name__ == "__main__":
    main()
