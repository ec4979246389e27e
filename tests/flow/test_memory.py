"""No process keeps anything of the calls that have passed it: with every limit set, and the access log written. What Redis
keeps of them is test_bounded.py's."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tollgate import PATIENCE, Served

CALLS = 10_000
KEPT_BYTES = 300        # of a call: so much less than its record that keeping one of three would be seen
BODY = {"model": "demo/echo", "messages": [{"role": "user", "content": "a b c"}], "max_completion_tokens": 8}
LIMITS = ("--rpm", "1000000", "--tpm", "100000000", "--budget-day", "900", "--budget-month", "900")


def make_calls(served: Served, script: Path, count: int) -> None:
    """At least so many, one after the other on sixteen connections, all of them answered."""
    done = 0
    while done < count:
        said = subprocess.run(["wrk", "-t1", "-c16", "-d3s", "--timeout", f"{PATIENCE:.0f}s", "-s", str(script), served.api],
                              capture_output=True, text=True, check=True).stdout
        assert "Non-2xx" not in said and "Socket errors" not in said, said
        done += int(re.search(r"(\d+) requests in", said)[1])       # type: ignore[index]


def resident(pid: int) -> int:
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) * 1024      # type: ignore[index]


def processes(served: Served) -> dict[int, str]:
    return {served.pid: "master", **{pid: name for name in ("worker", "console", "names") for pid in served.children(name)}}


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer keeps what was freed")
@pytest.mark.timeout(1800)
def test_no_process_grows_with_the_calls_that_pass_it(served: Served, tmp_path: Path) -> None:
    served.options = {"access_log": str(tmp_path / "access.log"), "recent_time": "1 s", "recent_calls": 50}
    served.start().set_up()
    account, _ = served.new_account("1000", "--prepaid", "--concurrency", "500", *LIMITS)
    served.cli("account", "limit", account, "--model", "demo/echo", "--budget-day", "800")
    key = served.cli_one("key", "create", account, *LIMITS, "--scopes", "call", "--models", "demo/*", "--ips", "127.0.0.0/8")["secret"]
    script = tmp_path / "call.lua"
    script.write_text(f"""
        wrk.method, wrk.path, wrk.body = "POST", "/v1/chat/completions", '{json.dumps(BODY)}'
        wrk.headers["content-type"], wrk.headers["authorization"] = "application/json", "Bearer {key}"
    """)
    make_calls(served, script, CALLS)
    before = {pid: resident(pid) for pid in processes(served)}
    make_calls(served, script, CALLS)
    assert processes(served).keys() == before.keys(), "nobody died"
    grown = {f"{name} {pid}": resident(pid) - before[pid] for pid, name in processes(served).items()}
    assert len(grown) == 5 and max(grown.values()) < KEPT_BYTES * CALLS, grown
    served.ship()
    with (tmp_path / "access.log").open() as log:
        assert sum('"gen_ai.request.model"' in line for line in log) >= 2 * CALLS
