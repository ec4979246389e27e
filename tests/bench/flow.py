"""Ten million calls without clients: writers that journal and ship as a worker does, a real Redis, and `tollgate serve`, whose
console archives and trims beside them. Journal segments are removed once they are archived, as they would be 35 days later, so
that the disk holds the whole."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

SEGMENT = 16 * 1024 * 1024
KEPT_SEGMENTS = 8  # of a journal: more than shipping ever lags behind
CATALOGUE = Path(__file__).with_name("flow.json")


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def rss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def tree_mb(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


class Stack:
    def __init__(self, dir: Path):
        self.dir, self.state, self.config = dir, dir / "state", dir / "tollgate.conf"
        self.socket, self.ports = dir / "redis.sock", (free_port(), free_port())
        self.server: subprocess.Popen | None = None
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-keyout", dir / "key.pem", "-out", dir / "cert.pem"], check=True, capture_output=True)
        os.chmod(dir / "key.pem", 0o600)
        self.redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", str(self.socket), "--dir", str(dir), "--appendonly", "yes", "--appendfsync",
             "everysec", "--save", "", "--maxmemory-policy", "noeviction", "--logfile", str(dir / "redis.log")])

    def serve(self, clock_offset: timedelta = timedelta(0)) -> None:
        self.config.write_text(f"""
listen = "127.0.0.1:{self.ports[0]}"
console = "127.0.0.1:{self.ports[1]}"
certificate = "{self.dir}/cert.pem"
certificate_key = "{self.dir}/key.pem"
state = "{self.state}"
redis = "unix:{self.socket}"
workers = 1
testing = true
clock_offset = {int(clock_offset / timedelta(milliseconds=1))}
recent_time = "10 s"
recent_calls = 100
backend "echo" {{
    kind = "echo"
}}
""")
        log = self.dir / f"log-{clock_offset.days}"
        self.server = subprocess.Popen([os.environ["TOLLGATE"], "serve", "-c", str(self.config)], stderr=log.open("w"))
        self.until(lambda: "console_started" in log.read_text(), "the console runs", 60)

    def stop(self) -> None:
        if self.server:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(120)
            self.server = None

    def try_cli(self, *words: str, timeout: float = 7200) -> str | None:
        done = subprocess.run([os.environ["TOLLGATE"], "-c", str(self.config), "--json", *words], capture_output=True, text=True, timeout=timeout)
        self.said = done.stderr
        return done.stdout if done.returncode == 0 else None

    def cli(self, *words: str) -> str:
        out = self.try_cli(*words)
        if out is None:
            sys.exit(f"flow: tollgate {' '.join(words)}: {self.said}")
        return out

    def ask(self, *words: str) -> str:
        return subprocess.run(["redis-cli", "-s", str(self.socket), *words], capture_output=True, text=True, check=True).stdout

    def info(self) -> dict[str, str]:
        return dict(line.split(":", 1) for line in self.ask("INFO").splitlines() if ":" in line)

    def until(self, what, why: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not what():
            if time.monotonic() > end:
                sys.exit(f"flow: {why} is not so after {seconds:.0f} s")
            time.sleep(0.2)

    def console(self) -> int:
        children = Path(f"/proc/{self.server.pid}/task/{self.server.pid}/children").read_text().split()
        return next(int(pid) for pid in children if "console" in Path(f"/proc/{pid}/comm").read_text())

    def calls_of(self, period: str) -> int:
        """What Redis has booked, by its own sums."""
        total = 0
        for partition in range(64):
            lines = self.ask("HGETALL", f"tg:{{m{partition:02}}}:gross:{period}").splitlines()
            total += sum(int(count) for name, count in zip(lines[::2], lines[1::2]) if name.endswith(" calls"))
        return total

    @property
    def period(self) -> str:
        return datetime.now(timezone(timedelta(hours=8))).strftime("%Y-%m")

    def drop_archived(self) -> None:
        for folder in (self.state / "journal").glob("[0-9]*"):
            writer = json.loads((folder / "writer").read_text())["writer"]
            archived = max((int(file.name[:8]) for file in (self.state / "archive" / writer).glob("*.zst")), default=0)
            for segment in sorted(folder.glob("*.seg")):
                if int(segment.name[:8]) <= archived - KEPT_SEGMENTS:
                    segment.unlink()


def flow(stack: Stack, args) -> dict[str, float]:
    """Runs the writers; a line every few seconds; the peaks."""
    installation = json.loads((stack.state / "installation.json").read_text())["installation"]
    writer = Path(os.environ["TOLLGATE"]).parent / "tests/bench/flow_writer"
    command = [str(writer), str(stack.state / "journal"), str(stack.state / "archive"), installation, f"unix:{stack.socket}",
               str(args.events // args.writers), str(args.accounts), str(SEGMENT)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(args.writers)]
    began, peaks, shown = time.monotonic(), {}, 0
    print(f"{'s':>6} {'events':>10} {'/s':>7} {'Redis MB':>9} {'its RSS':>8} {'console':>8} {'writer':>7} {'AOF MB':>8} {'journal':>8} {'archive':>8}", flush=True)
    while any(w.poll() is None for w in writers):
        time.sleep(2)
        stack.drop_archived()
        info = stack.info()
        now = {"redis": int(info["used_memory"]) / 1e6, "rss": rss_mb(stack.redis.pid), "console": rss_mb(stack.console()),
               "writer": max((rss_mb(w.pid) for w in writers if w.poll() is None), default=0.0), "aof": int(info["aof_current_size"]) / 1e6}
        for name, value in now.items():
            peaks[name] = max(peaks.get(name, 0.0), value)
        elapsed = time.monotonic() - began
        if elapsed >= shown:
            shown = elapsed + args.every
            events = stack.calls_of(stack.period)
            print(f"{elapsed:6.0f} {events:10} {events / elapsed:7.0f} {now['redis']:9.1f} {now['rss']:8.1f} {now['console']:8.1f} {now['writer']:7.1f} {now['aof']:8.1f}"
                  f" {tree_mb(stack.state / 'journal'):8.0f} {tree_mb(stack.state / 'archive'):8.0f}", flush=True)
    if any(w.returncode for w in writers):
        sys.exit("flow: a writer failed")
    return {**peaks, "seconds": time.monotonic() - began}


def timed(what):
    began = time.monotonic()
    result = what()
    return time.monotonic() - began, result


def measured(stack: Stack, *words: str) -> tuple[float, float]:
    """Seconds, and the peak of its memory in MB."""
    command = [os.environ["TOLLGATE"], "-c", str(stack.config), *words]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"flow: {' '.join(words)}: {process.stderr.read()}")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def run(dir: Path, args) -> None:
    stack = Stack(dir)
    try:
        stack.until(lambda: stack.socket.exists(), "Redis runs", 30)
        stack.serve()
        stack.cli("apply", str(CATALOGUE))
        for i in range(args.accounts):
            stack.cli("account", "create", f"flow-{i}", "--currency", "CNY", "--prepaid")
        period = stack.period
        cpu = float(stack.info()["used_cpu_user"]) + float(stack.info()["used_cpu_sys"])
        peaks = flow(stack, args)
        info = stack.info()
        cpu = float(info["used_cpu_user"]) + float(info["used_cpu_sys"]) - cpu
        millions = args.events / 1e6
        print(f"\n{args.events} events in {peaks['seconds']:.0f} s: {args.events / peaks['seconds']:.0f} a second; Redis {cpu / args.events * 1e6:.1f} µs of CPU an event")
        print(f"peaks: Redis {peaks['redis']:.0f} MB used ({peaks['rss']:.0f} MB RSS), console {peaks['console']:.0f} MB, a writer {peaks['writer']:.0f} MB, AOF {peaks['aof']:.0f} MB")
        stack.cli("journal", "ship")
        stack.stop()
        ends = (datetime.now(timezone(timedelta(hours=8))).replace(day=1, hour=0, minute=0, second=0) + timedelta(days=32)).replace(day=1)
        stack.serve(ends + timedelta(minutes=1) - datetime.now(UTC))
        stack.until(lambda: not json.loads(stack.cli("settle", "status", period))["reasons"], f"{period} can be closed", 7200)
        print(f"archive: {tree_mb(stack.state / 'archive') * 1e6 / args.events:.1f} bytes an event")
        seconds, peak = measured(stack, "settle", "close", period, "--out", str(dir / "bundle"))
        print(f"close:   {seconds / millions:6.1f} s a million events, {peak:.0f} MB")
        seconds, peak = measured(stack, "settle", "verify", str(dir / "bundle"), "--archive", str(stack.state / "archive"))
        print(f"verify:  {seconds / millions:6.1f} s a million events, {peak:.0f} MB, with the archive")
        counted = stack.calls_of(period)
        stack.ask("FLUSHALL")
        seconds, _ = timed(lambda: stack.cli("journal", "rebuild"))
        print(f"rebuild: {seconds / millions:6.1f} s a million events")
        if stack.calls_of(period) != counted or counted != args.events:
            sys.exit(f"flow: {args.events} events were written, {counted} booked, {stack.calls_of(period)} after the rebuild")
    finally:
        stack.stop()
        stack.redis.terminate()
        stack.redis.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--writers", type=int, default=2)
    parser.add_argument("--accounts", type=int, default=100)
    parser.add_argument("--every", type=int, default=10, help="seconds between two lines")
    parser.add_argument("--dir", type=Path, default=Path("/tmp"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tollgate-flow-", dir=args.dir) as name:
        run(Path(name), args)


if __name__ == "__main__":
    main()
