"""CPU per call: a governed call through Tollgate against the same call through nginx's proxy_pass; and once more with everything on:
rates, budgets and calls at once limited for account, key and model, a key that is narrowed to scopes, models and addresses, a
webhook, the access log; and that with an Idempotency-Key.

All serve TLS with one certificate, one worker process each, pinned to one core; load and upstream run on the other. Rounds
alternate, so that both see the same machine; medians over rounds are printed, and their ratio. CPU is what the kernel charged the
processes (utime + stime of all their threads), divided by the requests that wrk counted as answered with 200.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

TICKS = os.sysconf("SC_CLK_TCK")
REPLY_BYTES = 900
QUESTION = "x" * 450

UPSTREAM = """
worker_processes 1; daemon off; pid {dir}/upstream.pid; error_log {dir}/upstream.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/ub; proxy_temp_path {dir}/up;
  fastcgi_temp_path {dir}/uf; uwsgi_temp_path {dir}/uu; scgi_temp_path {dir}/us;
  server {{
    listen 127.0.0.1:{upstream} backlog=4096; default_type application/json; client_max_body_size 64m;
    location = /v1/models {{ return 200 '{{"object":"list","data":[{{"id":"bench","object":"model"}}]}}'; }}
    location = /v1/chat/completions {{ return 200 '{reply}'; }}
  }}
}}
"""

PROXY = """
worker_processes 1; daemon off; pid {dir}/proxy.pid; error_log {dir}/proxy.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/pb; proxy_temp_path {dir}/pp;
  fastcgi_temp_path {dir}/pf; uwsgi_temp_path {dir}/pu; scgi_temp_path {dir}/ps;
  upstream model {{ server 127.0.0.1:{upstream}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{proxy} ssl backlog=4096; ssl_certificate {cert}; ssl_certificate_key {key};
    ssl_protocols TLSv1.2 TLSv1.3; client_max_body_size 64m; client_body_buffer_size 1m;
    location / {{ proxy_pass http://model; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""

WRK = """
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.body = '{body}'
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer {token}"
{more}
done = function(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, latency:percentile(50)))
end
"""

EACH_ITS_OWN_KEY = """
local count, begun = 0, os.time()
request = function()
  count = count + 1
  wrk.headers["idempotency-key"] = begun .. "-" .. count
  return wrk.format()
end
"""
REPLY = json.dumps({"id": "chatcmpl-bench", "object": "chat.completion", "created": 1795345378, "model": "bench",
                    "choices": [{"index": 0, "message": {"role": "assistant", "content": "y" * (REPLY_BYTES - 330)}, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 120, "completion_tokens": 140, "total_tokens": 260, "prompt_tokens_details": {"cached_tokens": 0}}})
BODY = json.dumps({"model": "demo/upstream", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 256})
RATES = ("--rpm", "1000000", "--tpm", "100000000")
BUDGETS = ("--budget-day", "9000000", "--budget-month", "9000000")


def free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu_seconds(pids: list[int]) -> float:
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pin(pids: list[int], core: int) -> None:
    for pid in pids:
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setaffinity(int(task), {core})


def wait_for(what, seconds: float, message: str):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if (value := what()) is not None:
            return value
        time.sleep(0.05)
    sys.exit(f"bench: {message} within {seconds:.0f} s")


class Nginx:
    def __init__(self, config: str, path: Path):
        path.write_text(config)
        self.process = subprocess.Popen(["nginx", "-c", str(path), "-p", str(path.parent)], stderr=subprocess.DEVNULL)
        self.workers = wait_for(lambda: children(self.process.pid) or None, 10, "nginx did not start a worker")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


class Tollgate:
    def __init__(self, state: Path, upstream: int):
        self.process = subprocess.Popen(
            [os.environ["TOLLGATE"], "dev", "--state", str(state), "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0",
             "--workers", "1", "--upstream", f"http://127.0.0.1:{upstream}/v1"],
            stdout=subprocess.PIPE, stderr=(state.parent / "tollgate.log").open("w"), text=True)
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench: tollgate dev did not start; see {state.parent}/tollgate.log")
        self.ready = json.loads(line)
        self.redis: subprocess.Popen | None = None  # only one that dev has not started

    def pids(self) -> dict[str, list[int]]:
        """The processes of this instance by what they are."""
        found: dict[str, list[int]] = {"worker": [], "redis": [], "rest": []}
        for pid in [*children(self.process.pid), self.process.pid, *([self.redis.pid] if self.redis else [])]:
            name = Path(f"/proc/{pid}/comm").read_text()
            kind = "redis" if name.startswith("redis") else "worker" if name.startswith("tg-worker") else "rest"
            found[kind].append(pid)
        return found

    def cli(self, *args: str) -> str:
        return subprocess.run([os.environ["TOLLGATE"], "-c", self.ready["config"], *args], check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True).stdout

    def switch_everything_on(self, dir: Path, hook: str, under: tuple[str, ...] = ()) -> str:
        """The key to call with."""
        account = self.ready["account"]
        self.cli("account", "limit", account, *RATES, *BUDGETS, "--concurrency", "10000")
        self.cli("account", "limit", account, "--model", "demo/upstream", *BUDGETS)
        self.cli("webhook", "create", account, hook)
        key = self.cli("key", "create", account, *RATES, *BUDGETS, "--scopes", "call", "--models", "demo/*", "--ips", "127.0.0.0/8")
        self.stop()
        self.serve(f'access_log = "{dir}/access.log"\n', under)
        return key.strip()

    def serve(self, options: str = "", under: tuple[str, ...] = ()) -> None:
        """Goes on as `tollgate serve`, with more options than `dev` has, on the same state and Redis; under another program, if one is given."""
        config = Path(self.ready["config"])
        config.write_text(config.read_text() + options)
        state, redis = config.parent, self.ready["redis"].removeprefix("unix:")
        self.redis = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", redis, "--dir", str(state / "redis"), "--appendonly", "yes", "--appendfsync",
             "everysec", "--save", "", "--maxmemory-policy", "noeviction", "--logfile", str(state / "redis" / "bench.log")])
        self.process = subprocess.Popen([*under, os.environ["TOLLGATE"], "serve", "-c", str(config)], stderr=(state.parent / "serve.log").open("w"))
        wait_for(self.is_ready, 60, f"tollgate serve was not ready; see {state.parent}/serve.log;")

    def is_ready(self) -> bool | None:
        tls = ssl.create_default_context(cafile=self.ready["ca"])
        try:
            with urlopen(f"{self.ready['api']}/readyz", context=tls) as answer:
                return answer.status == 200 or None
        except OSError:
            return None

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        if self.redis:
            self.redis.terminate()
            self.redis.wait(30)


def load(port: int, script: Path, seconds: int, connections: int, core: int) -> tuple[int, int, int]:
    """Requests answered with 200, the rest, and the median latency in µs."""
    out = subprocess.run(["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"https://127.0.0.1:{port}/"],
                         capture_output=True, text=True, check=True).stdout
    requests, status, errors, p50 = map(int, re.search(r"RESULT (\d+) (\d+) (\d+) (\d+)", out).groups())
    return requests - status, status + errors, p50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    args = parser.parse_args()
    for tool in ("nginx", "wrk", "taskset"):
        if not shutil.which(tool):
            sys.exit(f"bench: {tool} is missing; run 'sh conf/install-deps --test'")
    cores = sorted(os.sched_getaffinity(0))
    server_core, load_core = cores[0], cores[-1]
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as name:
        run(Path(name), args, server_core, load_core)


def run(dir: Path, args, server_core: int, load_core: int) -> None:
    ports = {"upstream": free_port(), "proxy": free_port()}
    with contextlib.ExitStack() as stack:
        def started(part):
            stack.callback(part.stop)
            return part
        upstream = started(Nginx(UPSTREAM.format(dir=dir, reply=REPLY, **ports), dir / "upstream.conf"))
        (dir / "bare").mkdir(), (dir / "all").mkdir()
        bare, everything = (started(Tollgate(dir / name / "state", ports["upstream"])) for name in ("bare", "all"))
        cert = next((dir / "bare").rglob("server.pem"))
        proxy = started(Nginx(PROXY.format(dir=dir, cert=cert, key=next((dir / "bare").rglob("server.key")), **ports), dir / "proxy.conf"))
        for gateway in (bare, everything):
            gateway.cli("account", "credit", gateway.ready["account"], "1000000")
        key = everything.switch_everything_on(dir, f"http://127.0.0.1:{ports['upstream']}/hook")

        def script(name: str, token: str, more: str = "") -> Path:
            path = dir / f"{name}.lua"
            path.write_text(WRK.format(body=BODY, token=token, more=more))
            return path
        ways = {"governed": (bare, script("governed", bare.ready["key"])), "everything on": (everything, script("everything", key)),
                "and a key": (everything, script("keyed", key, EACH_ITS_OWN_KEY))}
        pin(proxy.workers, server_core)
        pin(upstream.workers, load_core)
        for gateway in (bare, everything):
            parts = gateway.pids()
            pin(parts["worker"], server_core)
            pin(parts["redis"] + parts["rest"], load_core)
        measure(args, ways, proxy, ports["proxy"], load_core)
        print(f"\n{args.rounds} interleaved rounds of {args.seconds} s, {args.connections} connections, TLS, {len(BODY)}-byte POST, {REPLY_BYTES}-byte reply")


class Way:
    """One of the ways to call, and what it took in each round."""

    def __init__(self, port: int, script: Path, parts: dict[str, list[int]]):
        self.port, self.script, self.parts = port, script, parts
        self.figures: dict[str, list[float]] = {name: [] for name in (*parts, "p50")}
        self.bad = 0

    def measure(self, args, core: int) -> str:
        starts = {name: cpu_seconds(pids) for name, pids in self.parts.items()}
        ok, failed, p50 = load(self.port, self.script, args.seconds, args.connections, core)
        if not ok:
            sys.exit(f"bench: no call was answered with 200, {failed} were not")
        time.sleep(0.3)  # what was metered is shipped
        used = {name: (cpu_seconds(pids) - starts[name]) / ok * 1e6 for name, pids in self.parts.items()}
        for name, value in (*used.items(), ("p50", p50)):
            self.figures[name].append(value)
        self.bad += failed
        return f"{used['worker']:6.1f} ({ok} calls)"

    def forget(self) -> None:
        for values in self.figures.values():
            values.clear()


def measure(args, ways: dict[str, tuple[Tollgate, Path]], proxy: Nginx, proxy_port: int, load_core: int) -> None:
    nginx = Way(proxy_port, next(iter(ways.values()))[1], {"worker": proxy.workers})
    all = {"nginx": nginx, **{name: Way(int(gateway.ready["api"].rsplit(":", 1)[1]), script, gateway.pids())
                              for name, (gateway, script) in ways.items()}}
    for r in range(-1, args.rounds):  # the first round warms up
        print(f"round {r + 1}, µs a call:  " + "   ".join(f"{name} {way.measure(args, load_core)}" for name, way in all.items()), flush=True)
        if r < 0:
            for way in all.values():
                way.forget()
    print(f"\nmedians      {'worker µs':>10} {'ratio to nginx':>24} {'Redis µs':>9} {'rest µs':>8} {'p50 ms':>7}")
    for name, way in all.items():
        m = {part: statistics.median(values) for part, values in way.figures.items()}
        ratios = [mine / its for mine, its in zip(way.figures["worker"], nginx.figures["worker"])]
        print(f"{name:13} {m['worker']:9.1f} {statistics.median(ratios):11.2f} ({min(ratios):.2f}–{max(ratios):.2f}) {m.get('redis', 0):12.1f}"
              f" {m.get('rest', 0):8.1f} {m['p50'] / 1000:7.2f}")
    print(f"answers other than 200: {sum(way.bad for way in all.values())}")


if __name__ == "__main__":
    main()
