"""The operator's runbook, step by step as the manual has it: secrets are rotated while calls run, a backup is restored on an
empty machine, and the books are what they were."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import money
import tollgate
from test_webhooks import Receiver, hooked, set_up, spend
from tollgate import Served, run, wait_until

CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": "a b c"}]}


@pytest.fixture
def running(served: Served) -> Served:
    return served.start().set_up("100")


def call(served: Served, count: int = 3) -> list[str]:
    with served.wire() as wire:
        replies = [wire.ask(wire.chat(CALL)) for _ in range(count)]
    assert {reply.status for reply in replies} == {200}
    return [reply.headers["x-request-id"] for reply in replies]


def replace(path: Path, text: str) -> None:
    """As the manual says: written aside, then renamed over the old one."""
    aside = path.with_suffix(".new")
    aside.touch(mode=0o600)
    aside.write_text(text)
    aside.rename(path)


def receipt(served: Served, request_id: str, path: Path) -> Path:
    path.write_text(served.get(f"/v1/usage/{request_id}/receipt"))
    return path


def published(served: Served) -> Any:
    return served.get("/.well-known/tollgate-jwks.json")


def test_the_signing_key_is_rotated_and_old_receipts_stay_good(running: Served, tmp_path: Path) -> None:
    (request_id,) = call(running, 1)
    before = receipt(running, request_id, tmp_path / "before.jws")
    old = published(running)
    fresh = subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519"], capture_output=True, text=True, check=True).stdout
    replace(running.state / "signing.pem", fresh)
    running.reload()
    after = receipt(running, request_id, tmp_path / "after.jws")
    keys = published(running)
    assert len(keys["keys"]) == 2 and old["keys"][0] in keys["keys"]
    jwks = tmp_path / "keys.json"
    jwks.write_text(json.dumps(keys))
    signers = {run("receipt", "verify", str(path), "--key", str(jwks), "--json", check=True).stdout for path in (before, after)}
    assert len({json.loads(said)["key_id"] for said in signers}) == 2
    for path in (before, after):
        running.cli("receipt", "verify", str(path))


def test_a_clients_key_is_rotated_without_a_gap(running: Served) -> None:
    fresh = running.cli_one("key", "create", "demo")["secret"]
    with running.wire() as old, running.wire(fresh) as new:
        assert old.ask(old.chat(CALL)).status == new.ask(new.chat(CALL)).status == 200
        running.cli("key", "revoke", running.key.split("-")[2])
        assert old.ask(old.chat(CALL)).status == 401
        assert new.ask(new.chat(CALL)).status == 200


def test_a_new_token_is_the_only_one_after_a_reload(running: Served) -> None:
    running.options["console"] = f"0.0.0.0:{running.console_port}"
    running.stop_serving()
    running.write_config()
    running.serve()
    old = (running.state / "operator.token").read_text().strip()
    assert running.try_get("/metrics", old, running.console)[0] == 200
    replace(running.state / "operator.token", "ot-tg-" + "n" * 48 + "\n")
    running.reload()
    wait_until(lambda: running.try_get("/metrics", "ot-tg-" + "n" * 48, running.console)[0] == 200, "the new token opens")
    assert running.try_get("/metrics", old, running.console)[0] == 403


def test_a_new_pepper_ends_all_keys_and_keys_made_after_it_work(running: Served) -> None:
    call(running)
    replace(running.state / "pepper", "p" * 48 + "\n")
    running.reload()
    wait_until(lambda: running.try_get("/v1/models")[0] == 401, "the old key works no more")
    running.key = running.cli_one("key", "create", "demo")["secret"]
    call(running)
    running.settle_down()
    events = running.events("demo")
    assert len(events) == 6 and running.balance() == 100 - money.total(events)


def test_after_a_leaked_derivation_key_webhooks_are_made_anew_and_clients_have_other_names(
        served: Served, certificate: tuple[Path, Path]) -> None:
    with Receiver(certificate) as receiver:
        set_up(served, certificate)
        account, key, leaked = hooked(served, receiver)
        creator = served.cli_one("key", "create", "demo", "--creator")["secret"]
        assert [reply.status for reply in spend(served, key)] == [200]
        (name,) = names_of_clients(served, creator)
        replace(served.state / "derivation.key", "d" * 48 + "\n")
        served.reload()
        (other,) = names_of_clients(served, creator)
        assert other != name
        assert served.cli_one("webhook", "test", leaked["webhook"])["status"] == 200
        made = served.cli_one("webhook", "create", account, receiver.hook)
        served.cli("webhook", "delete", leaked["webhook"])
        assert served.cli_one("webhook", "test", made["webhook"])["status"] == 200
        assert len(receiver.calls) == 2 and receiver.of(leaked["secret"]) == [], "nothing is signed with what leaked"
        assert receiver.of(made["secret"]) == receiver.calls[1:]
        assert [reply.status for reply in spend(served, key)] == [200], "keys do not depend on it"


def names_of_clients(served: Served, creator: str) -> set[str]:
    served.ship()
    listed = wait_until(lambda: served.get("/api/v1/creator/events", creator, served.console)["data"], "the creator sees a call")
    return {event["client"] for event in listed}


def books(served: Served) -> tuple[Any, list[Any], Any]:
    served.settle_down()
    events = sorted(served.events(), key=lambda event: event["request_id"])
    state = served.account_state()
    return {name: state[name] for name in ("balance", "held", "open_calls")}, events, served.cli_one("creator", "show", "demo")


def has_books(served: Served, expected: tuple[Any, list[Any], Any]) -> bool:
    """Commands are refused while Redis is being filled."""
    try:
        return books(served) == expected
    except tollgate.CommandFailed:
        return False


def start_anew(served: Served, redis: Path) -> None:
    """On a machine whose Redis is empty."""
    served.redis = tollgate.Redis(redis)
    served.start()
    served.wait_ready()


def test_a_backup_of_everything_is_restored_to_the_nano(running: Served, tmp_path: Path) -> None:
    call(running)
    before = books(running)
    running.stop()
    shutil.copytree(running.state, tmp_path / "backup", ignore=shutil.ignore_patterns("*.sock"))
    shutil.rmtree(running.state)
    shutil.rmtree(running.redis.folder)
    shutil.copytree(tmp_path / "backup", running.state)
    start_anew(running, tmp_path / "new-redis")
    wait_until(lambda: has_books(running, before), "the books are what they were")
    call(running)
    running.settle_down()
    assert running.balance() == 100 - money.total(running.events())


def test_archive_and_secrets_alone_bring_back_what_was_archived(running: Served, tmp_path: Path) -> None:
    """The host and Redis are lost; what was backed up meanwhile are the files that never change."""
    call(running)
    before = books(running)
    period = before[1][0]["period"]
    running.cli("settle", "preview", period, "--out", str(tmp_path / "preview"))      # seals, and waits for the archive
    backup = tmp_path / "backup"
    backup.mkdir(mode=0o700)
    for name in tollgate.JOINING_FILES:
        shutil.copy2(running.state / name, backup / name)
    shutil.copytree(running.state / "archive", backup / "archive")
    call(running)
    running.kill()
    running.redis.kill()
    shutil.rmtree(running.state)
    shutil.rmtree(running.redis.folder)
    shutil.copytree(backup, running.state)
    start_anew(running, tmp_path / "new-redis")
    wait_until(lambda: has_books(running, before), "the books are those of the backup")
    call(running)
