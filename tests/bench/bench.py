"""CPU per call: a governed call through Tollgate against the same call through nginx's proxy_pass.

Both serve TLS with one certificate, one worker process each, pinned to one core; load and upstream run on the other. Rounds
alternate, so that both see the same machine; medians over rounds are printed, and their ratio. CPU is what the kernel charged the
processes (utime + stime of all their threads), divided by the requests that wrk counted as answered with 200.
"""

import argparse
import json
import os
import re
import shutil
import signal
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
done = function(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %d\\n", summary.requests, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout, latency:percentile(50)))
end
"""


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

    def pids(self) -> dict[str, list[int]]:
        """The processes of this instance by what they are."""
        found: dict[str, list[int]] = {"worker": [], "redis": [], "rest": []}
        for pid in children(self.process.pid) + [self.process.pid]:
            name = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() + Path(f"/proc/{pid}/comm").read_text()
            kind = "redis" if "redis" in name else "worker" if "worker" in name else "rest"
            found[kind].append(pid)
        return found

    def cli(self, *args: str) -> None:
        subprocess.run([os.environ["TOLLGATE"], "-c", self.ready["config"], *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


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
    content = "y" * (REPLY_BYTES - 330)
    reply = json.dumps({"id": "chatcmpl-bench", "object": "chat.completion", "created": 1795345378, "model": "bench",
                        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 120, "completion_tokens": 140, "total_tokens": 260, "prompt_tokens_details": {"cached_tokens": 0}}})
    ports = {"upstream": free_port(), "proxy": free_port()}
    upstream = Nginx(UPSTREAM.format(dir=dir, reply=reply, **ports), dir / "upstream.conf")
    gateway = Tollgate(dir / "state", ports["upstream"])
    try:
        cert = next((dir / "state").rglob("server.pem"))
        proxy = Nginx(PROXY.format(dir=dir, cert=cert, key=next((dir / "state").rglob("server.key")), **ports), dir / "proxy.conf")
        try:
            measure(dir, args, gateway, proxy, upstream, ports, server_core, load_core)
        finally:
            proxy.stop()
    finally:
        gateway.stop()
        upstream.stop()


def measure(dir: Path, args, gateway: Tollgate, proxy: Nginx, upstream: Nginx, ports, server_core: int, load_core: int) -> None:
    body = json.dumps({"model": "demo/upstream", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 256})
    script = dir / "post.lua"
    script.write_text(WRK.format(body=body, token=gateway.ready["key"]))
    gateway.cli("account", "credit", gateway.ready["account"], "1000000")
    api_port = int(gateway.ready["api"].rsplit(":", 1)[1])
    parts = gateway.pids()
    pin(parts["worker"] + proxy.workers, server_core)
    pin(upstream.workers + parts["redis"] + parts["rest"], load_core)
    figures: dict[str, list[float]] = {k: [] for k in ("nginx", "tollgate", "redis", "console", "nginx_us", "tollgate_us")}
    bad = 0
    for r in range(-1, args.rounds):  # the first round warms up
        before = cpu_seconds(proxy.workers)
        ok, failed, p50 = load(ports["proxy"], script, args.seconds, args.connections, load_core)
        nginx_cpu = (cpu_seconds(proxy.workers) - before) / ok * 1e6
        starts = {k: cpu_seconds(v) for k, v in parts.items()}
        ok2, failed2, p50_2 = load(api_port, script, args.seconds, args.connections, load_core)
        time.sleep(0.3)  # what was metered is shipped
        used = {k: (cpu_seconds(v) - starts[k]) / ok2 * 1e6 for k, v in parts.items()}
        print(f"round {r + 1}: nginx {nginx_cpu:6.1f} µs/call ({ok} calls)   tollgate worker {used['worker']:6.1f} µs/call ({ok2} calls)"
              f"   redis {used['redis']:5.1f}   rest {used['rest']:5.1f}", flush=True)
        bad += failed + failed2
        if r < 0:
            continue
        for key, value in (("nginx", nginx_cpu), ("tollgate", used["worker"]), ("redis", used["redis"]), ("console", used["rest"]),
                           ("nginx_us", p50), ("tollgate_us", p50_2)):
            figures[key].append(value)
    m = {k: statistics.median(v) for k, v in figures.items()}
    ratios = [t / n for t, n in zip(figures["tollgate"], figures["nginx"])]
    print(f"\nmedian of {args.rounds} interleaved rounds of {args.seconds} s, {args.connections} connections, TLS, {len(body)}-byte POST, {REPLY_BYTES}-byte reply")
    print(f"nginx proxy_pass          {m['nginx']:6.1f} µs CPU a call   p50 {m['nginx_us'] / 1000:.2f} ms")
    print(f"tollgate, governed        {m['tollgate']:6.1f} µs CPU a call   p50 {m['tollgate_us'] / 1000:.2f} ms   (worker process, its journal thread included)")
    print(f"  beside it: Redis        {m['redis']:6.1f} µs, master and console {m['console']:.1f} µs a call")
    print(f"ratio tollgate / nginx    {statistics.median(ratios):6.2f}          (min {min(ratios):.2f}, max {max(ratios):.2f})")
    print(f"answers other than 200: {bad}")


if __name__ == "__main__":
    main()
