"""One set of calls, counted at every place where it can be seen: the same to the nano everywhere."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

import money
from tollgate import DEMO_PRICE, Dev
from upstream import Upstream


def words(count: int) -> list[Any]:
    return [{"role": "user", "content": " ".join(f"w{number}" for number in range(count))}]


def plain(client: openai.OpenAI, count: int, **options: Any) -> tuple[str, tuple[int, int]]:
    raw = client.chat.completions.with_raw_response.create(model="demo/echo", messages=words(count), **options)
    usage = raw.parse().usage
    return raw.headers["x-request-id"], (usage.prompt_tokens, usage.completion_tokens)


def streamed(client: openai.OpenAI, count: int, **options: Any) -> tuple[str, tuple[int, int]]:
    raw = client.chat.completions.with_raw_response.create(
        model="demo/echo", messages=words(count), stream=True, stream_options={"include_usage": True}, **options)
    *_, last = raw.parse()
    return raw.headers["x-request-id"], (last.usage.prompt_tokens, last.usage.completion_tokens)


def test_what_the_sdk_saw_is_what_everybody_is_told(dev: Dev, upstream: Upstream, tmp_path: Path) -> None:
    upstream.respond = lambda call: call.stream((f"w{number} " for number in range(200)), pause=0.02)
    dev.start("--upstream", upstream.url)
    client = dev.client()
    seen: dict[str, tuple[int, int]] = {}
    with ThreadPoolExecutor(8) as pool:
        for made in [pool.submit(plain if number % 2 else streamed, client, number, n=1 + number % 3)
                     for number in range(1, 60)]:
            request_id, usage = made.result()
            seen[request_id] = usage
    aborted = client.chat.completions.with_raw_response.create(model="demo/upstream", messages=words(7), stream=True)
    with aborted.parse() as stream:
        next(iter(stream))
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="demo/none", messages=words(1))

    dev.settle_down()
    events = dev.events()
    by_id = {event["request_id"]: event for event in events}
    assert set(by_id) == {*seen, aborted.headers["x-request-id"]}
    for request_id, (prompt, completion) in seen.items():
        assert by_id[request_id]["units"] == {"input_tokens": prompt, "output_tokens": completion}
        assert by_id[request_id]["outcome"] == "complete"
    for event in events:
        assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))
        assert event["creators"] == [{"id": "demo", "weight": 1}]
        assert event["account"] == "demo" and dev.key.split("-")[2] == event["key"]

    gross = money.total(events)
    assert gross > 0
    assert dev.balance() == Decimal(100) - gross
    assert Decimal(dev.get("/v1/balance")["balance"]) == Decimal(100) - gross
    (period,) = {event["period"] for event in events}
    earnings = check_earnings(dev, events, period)
    check_preview(dev, events, period, earnings, tmp_path / "preview")


def check_earnings(dev: Dev, events: list[Any], period: str) -> Any:
    """By model and by day, live on the console and by the command line."""
    earnings = dev.get(f"/api/v1/creator/earnings?period={period}", dev.ready["creator_token"], dev.console)
    assert dev.cli_one("creator", "show", "demo", "--period", period) == earnings
    (sums,) = earnings["currencies"]
    gross = money.total(events)
    assert (sums["currency"], sums["calls"], Decimal(sums["gross"])) == ("CNY", len(events), gross)
    per_model = Counter()
    for event in events:
        per_model[event["model"]] += Decimal(event["amount"])
    assert {row["model"]: Decimal(row["gross"]) for row in sums["models"]} == dict(per_model)
    for row in sums["models"]:
        assert Decimal(row["earned"]) == money.share(Decimal(row["gross"]))
    assert Decimal(sums["earned"]) == sum(Decimal(row["earned"]) for row in sums["models"])
    assert sum(Decimal(row["gross"]) for row in sums["days"]) == gross
    assert sum(Decimal(row["earned"]) for row in sums["days"]) == Decimal(sums["earned"])
    return sums


def check_preview(dev: Dev, events: list[Any], period: str, earnings: Any, bundle: Path) -> None:
    dev.cli("settle", "preview", period, "--out", str(bundle))
    *statements, trailer = map(json.loads, (bundle / "statements.jsonl").read_text().splitlines())
    (statement,) = statements
    assert (statement["creator"], statement["currency"], statement["period"]) == ("demo", "CNY", period)
    assert Decimal(statement["gross"]) == money.total(events)
    assert Decimal(statement["earned"]) == Decimal(earnings["earned"])
    parts = [Decimal(statement[name]) for name in ("opening", "earned", "adjustments")]
    minus = [Decimal(statement[name]) for name in ("refunds", "tax", "payout")]
    assert sum(parts) - sum(minus) == Decimal(statement["closing"])
    assert Decimal(statement["payout"]) % Decimal("0.01") == 0
    assert trailer != statement
    assert dev.cli("settle", "verify", str(bundle))
