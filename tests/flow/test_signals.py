"""Stopping, starting again, and dying: calls finish, data stays, no process is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

import money
import tollgate
from tollgate import Dev, Served, is_gone, wait_until
from wire import Reply

CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": "a b c"}]}
SLOW = {"model": "demo/slow", "stream": True, "messages": [{"role": "user", "content": "w " * 20}]}


def stream(served: Served) -> Reply:
    with served.wire() as wire:
        return wire.ask(wire.chat(SLOW))


@pytest.fixture
def slow(served: Served) -> Served:
    served.backends = {"slow": {"kind": "echo", "delay": "100 ms"}, "echo": {"kind": "echo"}}
    models = [{"id": f"demo/{name}", "backends": [{"name": name}]} for name in ("slow", "echo")]
    served.start().set_up("100", models)
    return served


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_finishes_streams_in_flight_and_bills_them(slow: Served, sign: signal.Signals) -> None:
    with ThreadPoolExecutor(5) as pool:
        running = [pool.submit(stream, slow) for _ in range(5)]
        wait_until(lambda: slow.account_state()["open_calls"] == 5, "they run")
        process, slow.process = slow.process, None
        assert process
        assert process.stop(sign=sign) == 0
        replies = [run.result() for run in running]
    assert all(reply.is_whole and reply.events()[-1] == "[DONE]" for reply in replies)
    slow.serve()
    slow.wait_ready()
    slow.settle_down()
    events = slow.events("demo")
    assert {event["request_id"] for event in events} == {reply.headers["x-request-id"] for reply in replies}
    assert {event["outcome"] for event in events} == {"complete"}
    assert slow.balance() == 100 - money.total(events)


def test_a_stream_that_outlasts_the_drain_is_cut_and_billed(served: Served) -> None:
    served.options = {"drain_timeout": "500 ms"}
    served.backends = {"slow": {"kind": "echo", "delay": "100 ms"}}
    served.start().set_up("100", [{"id": "demo/slow", "backends": [{"name": "slow"}]}])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(stream, served)
        wait_until(lambda: served.account_state()["open_calls"] == 1, "it runs")
        served.stop_serving()
        reply = running.result()
    assert "[DONE]" not in reply.events() and reply.headers["x-request-id"]
    served.serve()
    served.wait_ready()
    served.settle_down()
    (event,) = served.events("demo")
    assert event["request_id"] == reply.headers["x-request-id"] and event["outcome"] != "complete"
    assert 0 < event["units"]["output_tokens"] <= len(reply.events())


def test_dev_started_again_continues_with_the_same_keys_and_data(dev: Dev) -> None:
    dev.start()
    first = dev.ready
    assert first["account"] == "demo" and first["creator"] == "demo" and "demo/echo" in first["models"]
    assert first["key"].startswith("sk-tg-") and first["creator_token"].startswith("ck-tg-")
    assert dev.balance() == 100
    account, key = dev.new_account("3")
    with dev.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    dev.settle_down()
    before, listed = dev.events(), dev.cli_one("creator", "show", "demo")
    dev.restart()
    for name in ("key", "creator_token", "operator_token", "finance_token", "account", "models", "config", "ca"):
        assert dev.ready[name] == first[name], name
    assert dev.events() == before and dev.cli_one("creator", "show", "demo") == listed
    with dev.wire(key) as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    assert dev.settle_down(account)["balance"] == money.spelled(3 - money.total(dev.events(account)))
    assert dev.balance() == 100 - money.total(before)


def test_dev_killed_leaves_no_process_and_loses_nothing(dev: Dev) -> None:
    dev.start()
    with dev.wire() as wire:
        replies = [wire.ask(wire.chat(CALL)) for _ in range(5)]
    assert dev.process
    family = dev.process.family()
    assert len(family) >= 5, "master, console, two workers and Redis"
    dev.kill()
    assert all(is_gone(pid) for pid in family)
    dev.start()
    dev.settle_down()
    assert {event["request_id"] for event in dev.events()} == {reply.headers["x-request-id"] for reply in replies}
    assert dev.balance() == 100 - money.total(dev.events())


def test_a_second_dev_on_the_same_state_is_refused_and_harms_nobody(dev: Dev) -> None:
    dev.start()
    done = subprocess.run([tollgate.BINARY, "dev", "--state", str(dev.state), "--listen", "127.0.0.1:0", "--console",
                           "127.0.0.1:0"], capture_output=True, text=True, timeout=tollgate.PATIENCE, check=False)
    assert done.returncode == 1 and done.stdout == "" and str(dev.pid) in done.stderr, done
    with dev.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200


def test_a_taken_port_is_refused_with_a_sentence(dev: Dev, gateway: Dev) -> None:
    done = tollgate.run("dev", "--state", str(dev.state), "--listen", "{}:{}".format(*gateway.address), "--console",
                        "127.0.0.1:0")
    assert done.returncode == 1 and done.stdout == "" and str(gateway.address[1]) in done.stderr, done


@pytest.mark.parametrize("child", ["console", "worker", "redis"])
def test_a_killed_child_of_dev_is_started_again(dev: Dev, child: str) -> None:
    dev.start()
    victims = dev.children(child)
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(dev.children(child)) == len(victims) and not set(victims) & set(dev.children(child)),
               f"{child} is started again")
    wait_until(lambda: tollgate.run("account", "show", "demo", config=dev.config).returncode == 0, "the console answers")
    dev.wait_ready()
    with dev.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    dev.settle_down()
    assert dev.balance() == 100 - money.total(dev.events())
