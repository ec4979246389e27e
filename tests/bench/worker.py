"""What a worker executes for a governed call: instructions in user space, counted by callgrind over a fixed number of calls, so
that a busy machine counts what a quiet one does.

    python3 tests/bench/worker.py [--connections N] [--calls N] [--rounds N] [--everything] [--keyed] [--lines N]
    python3 tests/bench/worker.py --syscalls [--connections N] [--seconds S] [--everything]

Needs a built program in $TOLLGATE, nginx, redis-server and valgrind. What the worker does by the clock, measured while it is idle,
is taken off. Under callgrind a worker is some fifty times slower, so that fewer records share a write, a script or a wake than
do in earnest: compare these figures with each other. Prints the sums, then where the last round's went. --syscalls counts what the kernel is asked for, at full speed but for
strace (needs wrk and strace). --everything: of the account with all limits set, as in bench.py. --keyed: each call with an Idempotency-Key of its own.
"""

import argparse
import contextlib
import http.client
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bench
from callgrind import Counts, total, under

IDLE_SECONDS = 5
SHIPPED_SECONDS = 2  # by then what was metered is in Redis
TOP = Path(__file__).resolve().parents[2]
# A `rep stos` counts as one instruction for each byte, though it is none of that; so the C library shall use others.
NO_REP = "glibc.cpu.x86_rep_stosb_threshold=1000000000:glibc.cpu.x86_rep_movsb_threshold=1000000000"


class Clients:
    """Connections that stay open, each with one call at a time."""

    def __init__(self, gateway: bench.Tollgate, key: str, args: argparse.Namespace):
        tls = ssl.create_default_context(cafile=gateway.ready["ca"])
        port = int(gateway.ready["api"].rsplit(":", 1)[1])
        self.open = [http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=600) for _ in range(args.connections)]
        self.headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
        self.is_keyed = args.keyed

    def call(self, count: int) -> None:
        with ThreadPoolExecutor(len(self.open)) as threads:
            list(threads.map(lambda connection: self.call_on(connection, count // len(self.open)), self.open))

    def call_on(self, connection: http.client.HTTPSConnection, count: int) -> None:
        for _ in range(count):
            more = {"idempotency-key": str(uuid.uuid4())} if self.is_keyed else {}
            connection.request("POST", "/v1/chat/completions", bench.BODY, self.headers | more)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                sys.exit(f"worker.py: a call was answered {answer.status}: {text.decode()}")


class Profile:
    """Of a file of callgrind's: instructions by function, where a function is (object, file, name)."""

    def __init__(self, counts: Path):
        self.names: dict[tuple[str, str], str] = {}
        self.own: Counter[tuple[str, str, str]] = Counter()
        self.inclusive: Counter[tuple[str, str, str]] = Counter()
        object = file = function = ""
        is_of_callee = False
        for line in counts.read_text().splitlines():
            kind, _, rest = line.partition("=")
            if kind == "ob":
                object = self.name("object", rest)
            elif kind == "fl":
                file = self.name("file", rest)
            elif kind in ("fi", "fe", "cfi", "cfl"):
                self.name("file", rest)
            elif kind == "cob":
                self.name("object", rest)
            elif kind in ("fn", "cfn"):
                name = self.name("function", rest)
                function = name if kind == "fn" else function
            elif kind == "calls":
                is_of_callee = True
            elif line[:1] in "0123456789+-*" and line:
                key, cost = (object, file, function), int(line.split()[1])
                self.inclusive[key] += cost
                self.own[key] += 0 if is_of_callee else cost
                is_of_callee = False

    def name(self, kind: str, text: str) -> str:
        """A name is written once, and stands for itself as a number in parentheses from then on."""
        number, _, name = text.partition(" ")
        if name:
            self.names[kind, number] = name
        return self.names[kind, number]


def place(object: str, file: str) -> str:
    """The file of the program's own functions, of others the library."""
    return os.path.relpath(file, TOP) if file.startswith(f"{TOP}/") else file if object == os.environ["TOLLGATE"] else Path(object).name


def show(title: str, rows: Counter[str], calls: int, lines: int) -> None:
    print(f"\n{title}")
    for name, instructions in rows.most_common(lines):
        print(f"{instructions / calls:10,.0f}  {name}")


def show_all(profile: Profile, calls: int, lines: int) -> None:
    of_file, own, inclusive = Counter(), Counter(), Counter()
    for (object, file, name), instructions in profile.own.items():
        of_file[place(object, file)] += instructions
        own[f"{name}  {place(object, file)}"] += instructions
    for (object, file, name), instructions in profile.inclusive.items():
        if object == os.environ["TOLLGATE"]:
            inclusive[f"{name}  {place(object, file)}"] += instructions
    show("by file of the program, or library", of_file, calls, lines)
    show("by function, itself alone", own, calls, lines)
    show("by function of the program, with all that it calls (they overlap)", inclusive, calls, 2 * lines)


def measure(counts: Counts, clients: Clients, args: argparse.Namespace) -> None:
    calls = args.calls // args.connections * args.connections
    clients.call(8 * args.connections)
    counts.start()
    clients.call(2 * args.connections)
    time.sleep(SHIPPED_SECONDS)
    counts.dump()
    time.sleep(IDLE_SECONDS)
    idle = total(counts.dump()) / IDLE_SECONDS
    print(f"idle: {idle:,.0f} instructions a second")
    for _ in range(args.rounds):
        began = time.monotonic()
        clients.call(calls)
        time.sleep(SHIPPED_SECONDS)
        took = time.monotonic() - began
        dump = counts.dump()
        print(f"{(total(dump) - idle * took) / calls:,.0f} instructions a call ({calls} calls, {args.connections} connections, {took:.1f} s)", flush=True)
    if args.keep:
        shutil.copy(dump, args.keep)
    show_all(Profile(dump), calls, args.lines)


def measure_syscalls(worker: int, dir: Path, gateway: bench.Tollgate, key: str, args: argparse.Namespace) -> None:
    script = dir / "calls.lua"
    script.write_text(bench.WRK.format(body=bench.BODY, token=key, more=""))
    port, core = int(gateway.ready["api"].rsplit(":", 1)[1]), max(os.sched_getaffinity(0))
    bench.load(port, script, 1, args.connections, core)
    strace = subprocess.Popen(["strace", "-qq", "-c", "-f", "-o", f"{dir}/syscalls", "-p", str(worker)])
    try:
        time.sleep(1)
        calls, failed, _ = bench.load(port, script, args.seconds, args.connections, core)
        time.sleep(SHIPPED_SECONDS)
    finally:
        strace.send_signal(2)
        strace.wait(30)
    rows = [line.split() for line in (dir / "syscalls").read_text().splitlines()]
    print(f"{calls} calls, {failed} failed, {args.connections} connections; of the worker, a call:")
    for count, name in sorted(((int(row[3]), row[-1]) for row in rows if len(row) > 4 and row[3].isdigit()), reverse=True):
        if count / calls >= 0.001:
            print(f"{count / calls:10.3f}  {name}")


def run(dir: Path, args: argparse.Namespace, stack: contextlib.ExitStack) -> None:
    before = () if args.syscalls else under(dir)
    port = bench.free_port()
    upstream = bench.Nginx(bench.UPSTREAM.format(dir=dir, reply=bench.REPLY, upstream=port), dir / "upstream.conf")
    stack.callback(upstream.stop)
    gateway = bench.Tollgate(dir / "state", port)
    stack.callback(gateway.stop)
    gateway.cli("account", "credit", gateway.ready["account"], "1000000")
    key = gateway.ready["key"]
    if args.everything:
        key = gateway.switch_everything_on(dir, f"http://127.0.0.1:{port}/hook", before)
    else:
        gateway.stop()
        gateway.serve(under=before)
    worker = gateway.pids()["worker"][0]
    if args.syscalls:
        measure_syscalls(worker, dir, gateway, key, args)
    else:
        measure(Counts(dir, worker), Clients(gateway, key, args), args)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--calls", type=int, default=640, help="rounded down to a multiple of the connections")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--lines", type=int, default=30, help="of each list")
    parser.add_argument("--keep", type=Path, help="the last round's counts as a file, for callgrind_annotate --tree=caller")
    parser.add_argument("--everything", action="store_true")
    parser.add_argument("--keyed", action="store_true")
    parser.add_argument("--syscalls", action="store_true")
    args = parser.parse_args()
    for tool in ("nginx", "wrk", "strace") if args.syscalls else ("nginx", "valgrind"):
        if not shutil.which(tool):
            sys.exit(f"worker.py: {tool} is missing; install the package of that name")
    if "TOLLGATE" not in os.environ:
        sys.exit("worker.py: name a built program in $TOLLGATE")
    if not args.syscalls:
        os.environ["GLIBC_TUNABLES"] = NO_REP
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as name, contextlib.ExitStack() as stack:
        run(Path(name), args, stack)


if __name__ == "__main__":
    main()
