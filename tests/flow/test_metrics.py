"""/metrics for Prometheus and the access log: what they count is what happened, and they say nothing secret."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

import pytest

import money
from tollgate import DEMO_PRICE, PATIENCE, SLOWER, Served, wait_until
from upstream import Upstream

SAID = "a secret of the client"
CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": SAID}]}
SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([0-9.+Inf]+)$")


@pytest.fixture
def logging(served: Served) -> Served:
    served.options = {"access_log": str(access_log(served))}
    return served.start().set_up("100")


def access_log(served: Served) -> Path:
    return served.state.parent / "access.log"


def lines(served: Served) -> list[Any]:
    """What it has so far, whole lines only."""
    if not access_log(served).exists():
        return []
    return [json.loads(line) for line in access_log(served).read_text().split("\n")[:-1]]


def metrics_text(served: Served, token: str | None = None) -> tuple[int, str]:
    host, _, port = served.console.removeprefix("https://").rpartition(":")
    connection = http.client.HTTPSConnection(host, int(port), timeout=PATIENCE * SLOWER, context=served.tls)
    connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"} if token else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def metrics(served: Served) -> dict[tuple[str, str], Decimal]:
    """Every sample by its name and labels."""
    status, text = metrics_text(served)
    assert status == 200, text
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.match(line)
            assert match, line
            found[match[1], match[2] or ""] = Decimal(match[3])
    return found


def total(samples: dict[tuple[str, str], Decimal], name: str, *labels: str) -> Decimal:
    return sum((value for (known, given), value in samples.items()
                if known == name and all(label in given for label in labels)), Decimal(0))


def do_calls(served: Served) -> list[Any]:
    """Five calls plain and streamed, one without a key, one of an unknown model: the events of those that were billed."""
    with served.wire() as wire:
        for number in range(5):
            assert wire.ask(wire.chat({**CALL, "stream": number % 2 == 1})).status == 200
        assert wire.ask(wire.chat({**CALL, "model": "demo/none"})).status == 404
    with served.wire("sk-tg-nobody") as wire:
        assert wire.ask(wire.chat(CALL)).status == 401
    served.settle_down()
    return served.events("demo")


def test_metrics_pass_promtool_and_count_what_happened(logging: Served) -> None:
    before = metrics(logging)
    events = do_calls(logging)

    def counted() -> Any:
        found = metrics(logging)
        refused = [total(found, "tollgate_responses_total", status) > total(before, "tollgate_responses_total", status)
                   for status in ('"401"', '"404"')]
        return found if total(found, "tollgate_calls_total") == 5 and all(refused) else None
    after = wait_until(counted, "all calls are counted, and what was refused")
    _, text = metrics_text(logging)
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", ""), checked
    assert total(after, "tollgate_calls_total", 'gen_ai_request_model="demo/echo"', 'outcome="complete"') == 5
    assert total(after, "tollgate_amount_total", 'currency="CNY"') == money.total(events)
    for unit in DEMO_PRICE:
        assert total(after, "tollgate_units_total", f'unit="{unit}"') == sum(event["units"][unit] for event in events)
    assert total(after, "tollgate_responses_total", '"401"') - total(before, "tollgate_responses_total", '"401"') == 1
    assert total(after, "tollgate_refusals_total", 'code="caller_unknown_model"') == 1
    for name in ("gen_ai_server_request_duration_seconds", "gen_ai_server_time_to_first_token_seconds"):
        assert total(after, f"{name}_count") == total(after, f"{name}_bucket", 'le="+Inf"') == 5
    assert total(after, "tollgate_admit_duration_seconds_count") == 5
    assert total(after, "tollgate_journal_sync_duration_seconds_count") > 0
    wait_until(lambda: total(metrics(logging), "tollgate_workers", "ready") == 2, "both workers say that they are ready")
    wait_until(lambda: total(metrics(logging), "tollgate_unshipped_records") == 0, "all is shipped")
    assert total(metrics(logging), "tollgate_redis_up") == 1
    assert SAID not in text and logging.key not in text


def test_holds_and_what_the_archive_lacks_are_shown(served: Served, upstream: Upstream) -> None:
    served.backends = {"slow": {"kind": "openai", "url": upstream.url}}
    served.start().set_up("100", [{"id": "demo/slow", "backends": [{"name": "slow"}]}])
    let_go = Event()
    upstream.respond = lambda call: (let_go.wait(120), call.complete("an answer"))[1]
    with served.wire() as wire:
        wire.send(wire.chat({**CALL, "model": "demo/slow"}))
        try:
            wait_until(lambda: total(metrics(served), "tollgate_open_holds") == 1, "the call's hold is shown")
        finally:
            let_go.set()
        assert wire.reply().status == 200
    wait_until(lambda: total(metrics(served), "tollgate_open_holds") == 0, "the hold is gone")
    wait_until(lambda: total(metrics(served), "tollgate_archive_lag_seconds") > 0, "records are not archived")

    def sealed() -> bool:
        for pid in (*served.workers(), *served.children("console")):
            os.kill(pid, signal.SIGUSR1)
        return total(metrics(served), "tollgate_archive_lag_seconds") == 0
    wait_until(sealed, "all is archived")


def test_counts_go_on_through_reloads_and_deaths(logging: Served) -> None:
    do_calls(logging)
    wait_until(lambda: total(metrics(logging), "tollgate_calls_total") == 5, "all calls are counted")
    for pid in logging.workers():
        os.kill(pid, signal.SIGKILL)
    logging.wait_ready()
    os.kill(logging.pid, signal.SIGHUP)
    wait_until(lambda: '"event":"reloaded"' in logging.log_text(), "the config is reloaded")
    wait_until(lambda: total(metrics(logging), "tollgate_reloads_total", "done") == 1, "the reload is counted")
    with logging.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    wait_until(lambda: total(metrics(logging), "tollgate_calls_total") == 6, "sums never fall")


def test_beyond_loopback_metrics_want_the_operators_token(served: Served) -> None:
    served.options = {"console": f"0.0.0.0:{served.console_port}"}
    served.start()
    assert metrics_text(served)[0] == 401
    assert metrics_text(served, "ot-tg-nobody")[0] == 403
    assert metrics_text(served, (served.state / "operator.token").read_text().strip())[0] == 200


def test_the_access_log_has_a_line_for_each_request_and_nothing_secret(logging: Served) -> None:
    events = do_calls(logging)

    def logged() -> Any:
        found = lines(logging)
        refusals = {line.get("error.type") for line in found} & {"caller_bad_key", "caller_unknown_model"}
        return found if sum("gen_ai.request.model" in line for line in found) == 5 and len(refusals) == 2 else None
    calls = wait_until(logged, "each call is logged, and what was refused")
    billed = {line["tollgate.request_id"]: line for line in calls if "gen_ai.request.model" in line}
    assert billed.keys() == {event["request_id"] for event in events}
    for event in events:
        line = billed[event["request_id"]]
        assert line["tollgate.amount"] == event["amount"] and line["tollgate.units"] == event["units"]
        assert line["tollgate.account"] == "demo" and line["tollgate.key"] == event["key"]
        assert line["http.request.method"] == "POST" and line["http.response.status_code"] == 200
        assert line["client.address"] == "127.0.0.1"
        assert line["url.path"] == line["http.route"] == "/v1/chat/completions"
        assert line["tollgate.outcome"] == "complete" and line["tollgate.complete"] is True
        assert 0 <= line["tollgate.admitted_ms"] <= line["tollgate.first_byte_ms"] <= line["tollgate.duration_ms"]
    text = access_log(logging).read_text()
    assert SAID not in text and logging.key not in text and "sk-tg-" not in text


def test_a_client_that_goes_away_is_logged_when_its_call_has_ended(served: Served) -> None:
    served.options = {"access_log": str(access_log(served))}
    served.backends = {"slow": {"kind": "echo", "delay": "200 ms"}}
    served.start().set_up("100", [{"id": "demo/slow", "backends": [{"name": "slow"}]}])
    with served.wire() as wire:
        wire.send(wire.chat({**CALL, "model": "demo/slow", "stream": True, "messages": [{"role": "user", "content": "w " * 99}]}))
        wait_until(lambda: served.account_state()["open_calls"] == 1, "it runs")
    (event,) = wait_until(lambda: served.events("demo"), "the call has ended")
    line = wait_until(lambda: [line for line in lines(served) if "gen_ai.request.model" in line], "it is logged")[0]
    assert line["tollgate.outcome"] == event["outcome"] == "client_closed"
    assert line["tollgate.complete"] is False and line["tollgate.request_id"] == event["request_id"]


def test_a_renamed_access_log_is_made_anew_by_a_reload(logging: Served) -> None:
    access_log(logging).rename(access_log(logging).with_suffix(".1"))
    os.kill(logging.pid, signal.SIGHUP)
    wait_until(lambda: '"event":"reloaded"' in logging.log_text(), "the config is reloaded")
    with logging.wire() as wire:
        reply = wire.ask(wire.chat(CALL))
    wait_until(lambda: [line for line in lines(logging) if line["tollgate.request_id"] == reply.headers["x-request-id"]],
               "the new file has the call")


def test_a_log_that_takes_nothing_delays_no_call(served: Served, tmp_path: Path) -> None:
    """A pipe that nobody reads: its first writer waits for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        served.options = {"access_log": str(pipe), "drain_timeout": "1 s"}
        served.start().set_up("100")
        with served.wire() as wire:
            for _ in range(300):
                assert wire.ask(wire.chat(CALL)).status == 200
        served.stop_serving()
    finally:
        os.close(reader)
