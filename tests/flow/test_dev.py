"""What `tollgate dev` sets up: its ready line, its files, and a model server behind it."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

import pytest

import money
import tollgate
from tollgate import Dev, free_port
from upstream import Call, Upstream

CALL = {"model": "demo/upstream", "messages": [{"role": "user", "content": "hello"}]}


def test_the_ready_line_says_everything(dev: Dev) -> None:
    dev.start()
    ready = dev.ready
    assert set(ready) == {"api", "console", "ca", "config", "redis", "account", "key", "creator", "models",
                          "operator_token", "creator_token", "finance_token", "pid"}
    assert ready["models"] == ["demo/echo"] and ready["api"].startswith("https://127.0.0.1:")
    assert Path(dev.redis_socket).is_socket()
    assert dev.try_get("/api/v1/creator/earnings", ready["creator_token"], dev.console)[0] == 200
    state = dev.account_state()
    assert (state["balance"], state["currency"], state["mode"]) == ("100", "CNY", "prepaid")


def test_what_it_keeps_is_for_its_owner_alone(dev: Dev) -> None:
    dev.start()
    assert dev.state.stat().st_mode & 0o777 == 0o700
    public = {dev.ca.name, "server.pem"}
    for path in dev.state.rglob("*"):
        if path.is_file() and path.name not in public and path.parent.name in (dev.state.name, "redis"):
            assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0, path
    log = dev.log_text()
    for name in ("key", "creator_token", "operator_token", "finance_token"):
        assert dev.ready[name] not in log


def test_a_key_that_was_revoked_is_replaced_at_the_next_start(dev: Dev) -> None:
    dev.start()
    before = dict(dev.ready)
    dev.cli("key", "revoke", before["key"])
    dev.cli("key", "revoke", before["creator_token"])
    dev.stop()
    dev.start()
    assert dev.ready["key"] != before["key"] and dev.ready["creator_token"] != before["creator_token"]
    with dev.wire() as wire:
        assert wire.ask(wire.chat({"model": "demo/echo", "messages": [{"role": "user", "content": "hello"}]})).status == 200
    assert dev.try_get("/api/v1/creator/earnings", dev.ready["creator_token"], dev.console)[0] == 200
    kept = dict(dev.ready)
    dev.stop()
    dev.start()
    assert (dev.ready["key"], dev.ready["creator_token"]) == (kept["key"], kept["creator_token"]), "made once"


def test_the_certificate_is_good_for_every_name_of_this_machine(dev: Dev) -> None:
    dev.start()
    api = dev.api
    for host in ("localhost", "127.0.0.1"):
        dev.api = api.replace("127.0.0.1", host)
        tollgate.wait_until(dev.is_ready, f"it is reached as {host}")


@pytest.mark.parametrize("url", ["localhost:8000", "http://", "http://user:word@host/v1", "http://host:0/v1"])
def test_a_bad_upstream_is_refused_by_its_option(tmp_path: Path, url: str) -> None:
    done = tollgate.run("dev", "--state", str(tmp_path / "state"), "--upstream", url)
    assert done.returncode == 2 and done.stderr.startswith("tollgate dev: --upstream: its url "), done
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("option, other", [("--listen", "--console"), ("--console", "--listen")])
def test_a_port_that_is_taken_is_told_with_the_option_that_chooses_another(tmp_path: Path, option: str, other: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = tollgate.run("dev", "--state", str(tmp_path / "state"), option, address, other, "127.0.0.1:0")
    assert done.returncode == 1 and f"{address} is in use by another program; " in done.stderr and option in done.stderr


def test_a_model_server_that_is_not_there_is_named_and_stopping_meanwhile_is_clean(tmp_path: Path) -> None:
    url, log = f"http://127.0.0.1:{free_port()}/v1", tmp_path / "log"
    waiting = tollgate.Process([tollgate.BINARY, "dev", "--state", str(tmp_path / "state"), "--listen",
                                "127.0.0.1:0", "--console", "127.0.0.1:0", "--upstream", url], log)
    try:
        tollgate.wait_until(lambda: f"waiting at most 60 s for the model server at {url}" in log.read_text(),
                            "what is waited for is said")
        assert waiting.stop() == 0
    finally:
        waiting.kill_all()
    said = log.read_text()
    assert "task_failed" not in said and "stop_timeout" not in said


def test_the_upstreams_key_goes_to_the_upstream_and_nowhere_else(dev: Dev, upstream: Upstream) -> None:
    secret = "an-upstream-key-that-is-secret"
    dev.start("--upstream", upstream.url + "/", environment={"TOLLGATE_UPSTREAM_KEY": secret})
    upstream.respond = lambda call: call.complete(call.headers["authorization"][:6])
    with dev.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    assert upstream.calls[-1].headers["authorization"] == f"Bearer {secret}"
    assert upstream.calls[-1].json["model"] == "scripted"
    for text in (dev.log_text(), dev.config.read_text(), json.dumps(dev.ready), str(dev.cli("model", "list"))):
        assert secret not in text
    dev.restart()
    assert dev.ready["models"] == ["demo/echo", "demo/upstream"], "what was given once stays"
    dev.restart("--upstream", upstream.url, "--upstream-model", "another")
    with dev.wire() as wire:
        upstream.respond = lambda call: call.complete("fine")
        assert wire.ask(wire.chat(CALL)).status == 200
    assert upstream.calls[-1].json["model"] == "another"
    assert "authorization" not in upstream.calls[-1].headers


def test_an_upstream_that_is_still_starting_is_waited_for(dev: Dev) -> None:
    port = free_port()
    late = Upstream(port, listens=False)

    def listen() -> None:
        tollgate.wait_until(lambda: f"127.0.0.1:{port}" in dev.log_text(), "the log says what it waits for")
        late.listen()
    listener = threading.Thread(target=listen)
    listener.start()
    try:
        dev.start("--upstream", late.url)
        assert dev.ready["models"] == ["demo/echo", "demo/upstream"]
    finally:
        listener.join()
        late.close()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_upstream_that_comes_back_is_used_again(dev: Dev, stream: bool) -> None:
    port = free_port()
    with Upstream(port) as upstream:
        dev.start("--upstream", upstream.url)
    with dev.wire() as wire:
        refused = wire.ask(wire.chat({**CALL, "stream": stream}))
        assert refused.status == 503 and refused.headers["x-tollgate-code"] == "upstream_unreachable"
    with Upstream(port) as upstream, dev.wire() as wire:
        upstream.respond = lambda call: call.stream(["a ", "b"]) if stream else call.complete("a b")
        assert wire.ask(wire.chat({**CALL, "stream": stream})).status == 200
    dev.settle_down()
    assert dev.balance() == 100 - money.total(dev.events())


def test_a_slow_upstream_holds_up_nobody_else(dev: Dev, upstream: Upstream) -> None:
    may_answer = threading.Event()

    def respond(call: Call) -> None:
        may_answer.wait(tollgate.PATIENCE)
        call.complete("at last")
    upstream.respond = respond
    dev.start("--upstream", upstream.url)
    slow = [dev.wire() for _ in range(20)]
    for wire in slow:
        wire.send(wire.chat(CALL))
    with dev.wire() as wire:
        for _ in range(10):
            assert wire.ask(wire.chat({**CALL, "model": "demo/echo"})).status == 200
    assert not may_answer.is_set()
    may_answer.set()
    for wire in slow:
        assert wire.reply().status == 200
        wire.close()
