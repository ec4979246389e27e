"""The command line: what it refuses, how it says so, and that it works with and without a running server."""

from __future__ import annotations

import contextlib
import json
import re
from decimal import Decimal
from pathlib import Path

import pytest

import tollgate
from tollgate import Dev, Served

COMMANDS = ("serve", "dev", "check", "apply", "account create", "account credit", "account adjust", "account limit", "account show",
            "account list", "key create", "key limit", "key revoke", "key list", "creator list", "creator show", "model list", "model show",
            "price rerate", "usage list", "usage show", "usage refund", "journal show", "journal ship", "journal retire", "journal adopt",
            "journal rebuild", "suspense list", "suspense resolve", "receipt verify", "settle preview", "settle close", "settle status", "settle export", "settle verify")


def test_version_and_help_say_what_there_is() -> None:
    assert re.search(r"\d+\.\d+", tollgate.run("--version", check=True).stdout)
    text = tollgate.run("--help", check=True).stdout
    for command in COMMANDS:
        assert command in text, f"--help does not mention {command}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_version(command: str) -> None:
    done = tollgate.run(*command.split(), "--help", check=True)
    assert command in done.stdout and len(done.stdout.splitlines()) >= 3 and done.stderr == ""
    tollgate.run(*command.split(), "--version", check=True)


@pytest.mark.parametrize("words", [
    ["fly"], ["account"], ["account", "fly"], ["check", "--fly"], ["account", "show"], ["account", "show", "a", "b"],
    ["usage", "list", "--limit"], ["account", "create", "x", "--currency", "CNY", "--prepaid", "--postpaid"],
    ["account", "create", "x", "--prepaid"], ["dev", "--workers", "none"], ["settle"], ["settle", "close"],
    ["usage", "list", "--limit", "5", "--limit", "6"], ["usage", "list", "--limit", "none"],
    ["account", "credit", "demo", "1e3"], ["account", "credit", "demo", "0.0000000001"],
    ["account", "credit", "demo", "99999999999999999999"], ["settle", "close", "2026-13"],
    ["account", "adjust", "demo", "1"], ["account", "adjust", "demo", "x", "--reason", "y"],
    ["account", "credit", "demo", "1", "--op", "a b"], ["usage", "refund", "req_0", "1"], ["usage", "refund", "req_0", "x", "--reason", "y"],
    ["key", "revoke", "sk-tg-"], ["account", "limit", "demo", "--rpm", "99999999999999999999"],
    ["journal", "retire", "w-0", "--by", "ann"], ["journal", "retire", "w-0", "--reason", "lost"],
    ["suspense", "resolve", "1", "--reason", "x", "--by", "ann"], ["suspense", "resolve", "1", "--as", "kept", "--reason", "x", "--by", "ann"],
    ["suspense", "resolve", "1", "--as", "dropped", "--by", "ann"], ["suspense", "resolve", "1", "--as", "dropped", "--reason", "x"],
    ["creator", "show", "demo", "--period", "2026-13"], ["key", "create", "demo", "--expires", "soon"],
], ids=" ".join)
def test_a_misuse_ends_with_2_and_a_sentence(gateway: Dev, words: list[str]) -> None:
    said = gateway.refused(*words, code=2)
    assert said.startswith(("tollgate", "usage")), "and nothing was begun"


def test_no_command_at_all_is_a_misuse() -> None:
    done = tollgate.run()
    assert done.returncode == 2 and done.stdout == "" and "usage" in done.stderr


@pytest.mark.parametrize("words,says", [
    (["account", "show", "nobody"], "nobody"),
    (["account", "credit", "nobody", "1"], "nobody"),
    (["account", "credit", "demo", "0"], "zero"),
    (["account", "create", "bad id", "--currency", "CNY", "--prepaid"], "bad id"),
    (["account", "create", "x", "--currency", "XYZ", "--prepaid"], "XYZ"),
    (["account", "create", "x", "--currency", "CNY", "--prepaid", "--credit-limit", "5"], "credit"),
    (["account", "create", "x", "--currency", "CNY", "--postpaid", "--credit-limit", "-5"], "negative"),
    (["journal", "adopt", "/tmp"], "no writer's directory"),
    (["key", "create", "nobody"], "nobody"),
    (["key", "create", "--creator", "nobody"], "nobody"),
    (["key", "revoke", "000000000000"], "000000000000"),
    (["key", "revoke", "x"], "x"),
    (["creator", "show", "nobody"], "nobody"),
    (["model", "show", "demo/nobody"], "demo/nobody"),
    (["usage", "show", "req_00000000000000000000000000000000"], "req_0"),
    (["apply", "/nonexistent.json"], "/nonexistent.json"),
    (["settle", "verify", "/nonexistent"], "/nonexistent"),
    (["receipt", "verify", "/nonexistent"], "/nonexistent"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_what_cannot_be_done_is_refused_in_a_sentence(gateway: Dev, words: list[str], says: str) -> None:
    assert says in gateway.refused(*words)


def test_lists_are_tables_and_one_json_object_a_line(gateway: Dev) -> None:
    with gateway.wire() as wire:
        body = {"model": "demo/echo", "messages": [{"role": "user", "content": "hello"}]}
        request_id = wire.ask(wire.chat(body)).headers["x-request-id"]
    gateway.ship()
    for words in (["account", "list"], ["key", "list"], ["creator", "list"], ["model", "list"], ["usage", "list"],
                  ["journal", "show"]):
        assert gateway.cli(*words), words
        assert len(tollgate.run(*words, config=gateway.config, check=True).stdout.splitlines()) >= 2, words
    shown = gateway.cli_one("usage", "show", request_id)
    assert shown["request_id"] == request_id and shown["backend"] == "echo"
    (listed,) = [event for event in gateway.cli("usage", "list") if event["request_id"] == request_id]
    assert set(listed) >= {"request_id", "account", "key", "creators", "model", "backend", "price", "units", "provenance",
                           "amount", "currency", "outcome", "started_at", "ended_at", "period", "orig_period"}
    assert gateway.cli_one("model", "show", "demo/echo")["model"] == "demo/echo"


def test_a_negative_amount_is_a_correction(gateway: Dev) -> None:
    account, _ = gateway.new_account("2")
    booked = gateway.cli_one("account", "credit", account, "-0.5")
    assert booked["reason"] == "correction"
    assert gateway.balance(account) == Decimal("1.5")


def test_usage_of_an_unknown_account_is_an_error(gateway: Dev) -> None:
    assert "nobody" in gateway.refused("usage", "list", "--account", "nobody")


def test_a_whole_key_can_be_revoked_and_is_not_repeated(gateway: Dev) -> None:
    key = gateway.cli_one("key", "create", "demo")["secret"]
    done = tollgate.run("key", "revoke", key, config=gateway.config, check=True)
    secret = key.rsplit("-", 1)[1]
    assert "revoked" in done.stdout and secret not in done.stdout + done.stderr


def test_a_secret_is_printed_once_and_alone(gateway: Dev) -> None:
    done = tollgate.run("key", "create", "demo", config=gateway.config, check=True)
    assert re.fullmatch(r"sk-tg-[0-9a-z]{12}-[0-9a-z]{32}\n", done.stdout)
    secret = done.stdout.strip().rpartition("-")[2]
    for words in (["key", "list"], ["journal", "show"]):
        assert secret not in tollgate.run(*words, "--json", config=gateway.config, check=True).stdout
    assert secret not in gateway.log_text()
    for path in gateway.state.rglob("*"):
        with contextlib.suppress(FileNotFoundError):        # a file may be renamed meanwhile
            if path.is_file() and not path.is_symlink():
                assert secret.encode() not in path.read_bytes(), f"{path} holds a key's secret"


def test_the_config_comes_from_the_environment_too(gateway: Dev) -> None:
    environment = {"TOLLGATE_CONFIG": str(gateway.config)}
    assert tollgate.run("account", "show", "demo", "--json", environment=environment, check=True).stdout
    done = tollgate.run("account", "show", "demo", environment={"TOLLGATE_CONFIG": "/nonexistent.conf"})
    assert done.returncode == 1 and done.stderr.startswith("tollgate account show: cannot open /nonexistent.conf: ")
    assert "-c FILE" in done.stderr and "$TOLLGATE_CONFIG" in done.stderr


def test_who_has_no_config_is_told_how_a_receipt_is_verified_without(tmp_path: Path) -> None:
    done = tollgate.run("receipt", "verify", "receipt.jws", config=tmp_path / "none.conf")
    assert done.returncode == 1 and done.stderr.startswith("tollgate receipt verify: cannot open ")
    assert "--key FILE" in done.stderr and "/.well-known/tollgate-jwks.json" in done.stderr


def test_the_version_is_a_word_too() -> None:
    assert tollgate.run("version", check=True).stdout == tollgate.run("--version", check=True).stdout


@pytest.mark.parametrize("given", [["--prepaid", "--postpaid"], []])
def test_an_account_is_either_prepaid_or_postpaid(gateway: Dev, given: list[str]) -> None:
    said = gateway.refused("account", "create", "x", "--currency", "CNY", *given, code=2)
    assert ("not both" in said) is bool(given) and "--prepaid" in said and "--postpaid" in said


def test_commands_work_without_a_server_and_calls_see_it_afterwards(served: Served) -> None:
    served.start().set_up()
    served.stop_serving()
    assert served.balance() == 100
    served.cli("account", "credit", "demo", "5", "--op", "while-it-was-down")
    served.cli("account", "credit", "demo", "5", "--op", "while-it-was-down")
    assert served.balance() == 105
    assert served.cli("usage", "list") == []
    key = served.cli_one("key", "create", "demo")["secret"]
    served.serve()
    served.wait_ready()
    with served.wire(key) as wire:
        body = {"model": "demo/echo", "messages": [{"role": "user", "content": "hello"}]}
        assert wire.ask(wire.chat(body)).status == 200


def test_commands_without_a_server_and_without_redis_say_what_is_missing(served: Served) -> None:
    served.start().set_up()
    served.stop_serving()
    served.redis.stop()
    assert "Redis" in served.refused("account", "show", "demo")


def test_a_command_that_waits_for_long_without_a_server_is_answered(served: Served) -> None:
    """... by its own console, which does what a console does every few seconds meanwhile."""
    served.start().set_up()
    served.stop_serving()
    served.redis.stop()
    words = ("account", "credit", "demo", "5", "--op", "while-redis-was-away")
    assert "tollgate account credit: not written: Redis has not answered, " in served.refused(*words)
    served.redis.start()
    assert "repeated" not in served.cli_one(*words)
    assert served.balance() == 105


# --- the catalogue

BAD_CATALOGUES = {
    "no JSON": ("{", "json"),
    "an unknown member": ({"colour": 1}, "colour"),
    "a model without owners": ({"models": [{"id": "demo/x", "price": "demo", "backends": [{"name": "echo"}]}]}, "demo/x"),
    "a model without a backend": ({"models": [{"id": "demo/x", "price": "demo",
                                               "owners": [{"creator": "demo"}]}]}, "demo/x"),
    "a model of nobody": ({"models": [{"id": "demo/x", "price": "demo", "backends": [{"name": "echo"}],
                                       "owners": [{"creator": "nobody"}]}]}, "nobody"),
    "a model at no price": ({"models": [{"id": "demo/x", "price": "nothing", "backends": [{"name": "echo"}],
                                         "owners": [{"creator": "demo"}]}]}, "nothing"),
    "a price that is a number": ({"prices": [{"id": "p", "from": "2026-01-01T00:00:00Z",
                                              "units": {"input_tokens": 2.0}}]}, "input_tokens"),
    "a price of an unknown unit": ({"prices": [{"id": "p", "from": "2026-01-01T00:00:00Z", "units": {"words": "1"}}]},
                                   "words"),
    "a negative price": ({"prices": [{"id": "p", "from": "2026-01-01T00:00:00Z", "units": {"input_tokens": "-1"}}]},
                         "input_tokens"),
    "a price that is edited": ({"prices": [{"id": "demo", "from": "2026-01-01T00:00:00Z",
                                            "units": {"input_tokens": "3", "output_tokens": "8"}}]}, "demo"),
    "a share of more than all": ({"creators": [{"id": "new", "contract": {"share_bp": 10001, "from": "2026-01-01"}}]},
                                 "share_bp"),
}


def test_a_wrong_catalogue_is_refused_whole(served: Served, tmp_path: Path) -> None:
    served.start().set_up()
    before = served.cli("model", "list")
    path = tmp_path / "catalogue.json"
    for name, (content, says) in BAD_CATALOGUES.items():
        path.write_text(content if isinstance(content, str) else json.dumps({"currency": "CNY", **content}))
        assert says.lower() in served.refused("apply", str(path)).lower(), name
    assert served.cli("model", "list") == before
    again = served.write_catalogue()
    changed = served.cli("apply", str(again))
    assert before == served.cli("model", "list"), f"applying the same again changed {changed}"
