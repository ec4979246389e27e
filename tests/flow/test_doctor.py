"""`tollgate doctor`: a sound machine is found sound; what is unsafe is named with its remedy, and the exit code says so."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tollgate
from tollgate import Served


@pytest.fixture
def running(served: Served) -> Served:
    folder = served.state.parent / "own"
    folder.mkdir()
    certificate, key = folder / "server.pem", folder / "server.key"
    make_certificate(certificate, key, days=400)
    served.ca, served.certificate_key = certificate, key
    served.options = {"connections": 100, "journal_segment": "256 KiB"}
    return served.start().set_up("100")


def make_certificate(certificate: Path, key: Path, days: int) -> None:
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    str(days), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    key.chmod(0o600)


def findings(served: Served) -> tuple[int, list[Any]]:
    done = tollgate.run("doctor", "--json", config=served.config, timeout=120)
    return done.returncode, [tollgate.json.loads(line) for line in done.stdout.splitlines()]


def about_the_machine(finding: Any) -> bool:
    """What a test can't choose: the file system under the temporary folder, how long its disk takes, how full it is."""
    return finding["about"] in ("journal", "limits")


def test_a_sound_installation_is_found_sound(running: Served) -> None:
    with running.wire() as wire:
        assert wire.ask(wire.chat({"model": "demo/echo", "messages": [{"role": "user", "content": "a"}]})).status == 200
    running.cli("journal", "ship")
    _, found = findings(running)
    assert {finding["about"] for finding in found} >= {
        "files", "certificate", "limits", "journal", "archive", "redis", "redis version", "redis memory", "redis persistence",
        "clocks"}
    assert [finding for finding in found if finding["health"] == "unsafe" and not about_the_machine(finding)] == []
    assert all(finding.get("remedy") for finding in found if finding["health"] != "good")
    assert not list((running.state / "journal").glob(".doctor")), "it leaves nothing behind"


def open_secret(served: Served) -> None:
    (served.state / "pepper").chmod(0o644)


def short_certificate(served: Served) -> None:
    make_certificate(served.ca, served.certificate_key, days=3)


def evicting(served: Served) -> None:
    served.redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")


def forgetful(served: Served) -> None:
    served.redis.command("CONFIG", "SET", "appendonly", "no")


def careless(served: Served) -> None:
    served.redis.command("CONFIG", "SET", "appendfsync", "no")


def many_connections(served: Served) -> None:
    served.config.write_text(served.config.read_text().replace("connections = 100", "connections = 1000000"))


def broken_archive(served: Served) -> None:
    served.cli("settle", "preview", "2026-01")       # seals what there is
    file = next((served.state / "archive").glob("*/*.jsonl.zst"), None)
    assert file, "there is something in the archive"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xff
    file.chmod(0o600)
    file.write_bytes(data)


@pytest.mark.parametrize(("harm", "about", "says"), [
    (open_secret, "files", "pepper"),
    (short_certificate, "certificate", "ends at"),
    (evicting, "redis memory", "allkeys-lru"),
    (forgetful, "redis persistence", "no append-only file"),
    (careless, "redis persistence", "appendfsync is no"),
    (many_connections, "limits", "2000256"),
    (broken_archive, "archive", ".jsonl.zst"),
])
def test_what_is_unsafe_is_named_with_its_remedy(running: Served, harm: Callable[[Served], None], about: str, says: str) -> None:
    harm(running)
    code, found = findings(running)
    assert code == 1
    assert [finding for finding in found if finding["about"] == about and finding["health"] == "unsafe"
            and says in finding["says"] and finding["remedy"]], found


def test_a_redis_that_is_away_is_unsafe_and_the_rest_is_looked_at(running: Served) -> None:
    running.redis.kill()
    code, found = findings(running)
    assert code == 1
    assert [finding for finding in found if finding["about"] == "redis" and "can't be used" in finding["says"]], found
    assert {"certificate", "archive"} <= {finding["about"] for finding in found}
