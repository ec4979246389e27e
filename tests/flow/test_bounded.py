"""Redis holds what is recent, however much flows: the small sister of tests/bench/flow10m."""

from __future__ import annotations

import json
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import tollgate
from tollgate import Served, wait_until

HALF = 25_000
ACCOUNTS = 4
KEPT = 50
CATALOGUE = Path(__file__).parents[1] / "bench/flow.json"


def flow(served: Served, events: int) -> Any:
    """A writer beside the workers: so many calls, journaled, shipped and applied; what it wrote."""
    writer = Path(tollgate.BINARY).parent / "tests/bench/flow_writer"
    installation = json.loads((served.state / "installation.json").read_text())["installation"]
    command = [str(writer), str(served.state / "journal"), str(served.state / "archive"), installation, f"unix:{served.redis.socket}",
               str(events), str(ACCOUNTS), str(1024 * 1024)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def memory(served: Served) -> int:
    """Of what it holds, whatever its connections need at the moment."""
    said = served.redis.command("INFO", "memory").splitlines()
    return int(dict(line.split(":", 1) for line in said if ":" in line)["used_memory_dataset"])


def lengths(served: Served, what: str, command: str) -> set[int]:
    """Of all accounts' streams or indexes."""
    names = served.redis.command("--scan", "--pattern", f"tg:{{a*}}:{what}:flow-*").split()
    assert len(names) == ACCOUNTS
    return {int(served.redis.command(command, name)) for name in names}


def test_redis_does_not_grow_with_what_flows_through_it(served: Served) -> None:
    served.options = {"recent_time": "1 s", "recent_calls": KEPT}
    served.start().set_up()
    served.cli("apply", str(CATALOGUE))
    keys = {}
    for i in range(ACCOUNTS):
        served.cli("account", "create", f"flow-{i}", "--currency", "CNY", "--postpaid")
        keys[f"flow-{i}"] = served.cli_one("key", "create", f"flow-{i}")["secret"]
    used, charged = [], Decimal(0)
    for _ in range(2):
        written = flow(served, HALF)
        assert written["events"] == HALF
        charged += Decimal(written["amount"])
        served.cli("settle", "preview", served.cli_one("usage", "list", "--account", "flow-0", "--limit", "1")["period"],
                   "--out", str(served.state.parent / "preview"), timeout=240)     # seals and archives all
        wait_until(lambda: lengths(served, "events", "XLEN") == {KEPT}, "the streams are trimmed", 120)
        assert lengths(served, "index", "HLEN") == {KEPT}
        used.append(memory(served))
    assert used[1] - used[0] < 1_000_000, f"25 000 events took {used[1] - used[0]} bytes of Redis"
    assert -sum(served.balance(account) for account in keys) == charged
    newest = served.get("/v1/usage?limit=1000", keys["flow-1"])
    assert newest["has_more"] and len({event["request_id"] for event in newest["data"]}) == 1000
    oldest = newest["data"][-1]["request_id"]
    assert served.get(f"/v1/usage/{oldest}", keys["flow-1"]) == newest["data"][-1]
    assert served.get(f"/v1/usage?limit=10&before={oldest}", keys["flow-1"])["has_more"]
