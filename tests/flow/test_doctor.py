"""`tollgate doctor`: a sound machine is found sound; what is unsafe is named with its remedy, and the exit code says so."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tollgate
from redis_servers import DURABLE, Server, make_authority
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


def other_backends(served: Served) -> None:
    served.backends = {"other": {"kind": "echo"}}
    served.write_config()


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
    (other_backends, "models", "model demo/echo: the config has no backend 'echo'"),
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
    done = tollgate.run("doctor", "--json", config=running.config, timeout=120)
    found = [tollgate.json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1 and "Redis does not answer; waiting for it, at most 15 s\n" in done.stderr
    assert [finding for finding in found if finding["about"] == "redis" and "can't be used" in finding["says"]], found
    assert {"certificate", "archive"} <= {finding["about"] for finding in found}


# --- before the first start: what Redis is, and how it is reached

LEAST = "tollgate on >secret resetchannels -@all ~tg:* +@read +@write -@dangerous +evalsha +script|load +info +bgrewriteaof"


@pytest.fixture
def password(tmp_path: Path) -> dict[str, Any]:
    """Options of a gateway that has a user of its own."""
    path = tmp_path / "password"
    path.touch(mode=0o600)
    path.write_text("secret\n")
    return {"redis_user": "tollgate", "redis_password_file": path}


def look(served: Served, address: str, about: str, **options: Any) -> list[tuple[str, str]]:
    """What is found about this, in order; what is not good has a remedy."""
    served.options = {"redis": address, **options}
    served.write_config()
    _, found = findings(served)
    assert all(finding.get("remedy") for finding in found if finding["health"] != "good")
    return [(finding["health"], finding["says"]) for finding in found if finding["about"] == about]


def test_whose_user_it_is_and_what_that_may_see_is_told(served: Served, tmp_path: Path, password: dict[str, Any]) -> None:
    with Server(tmp_path / "redis", {**DURABLE, "user": f"{LEAST} +time"}) as redis:
        address = f"redis://{redis.where}"
        assert look(served, address, "redis user") == [("unknown", "Tollgate is Redis's default user, who may do everything")]
        assert look(served, address, "redis user", **password) == [("good", "Tollgate has a user of its own")]
        assert look(served, address, "clocks", **password)[0][0] == "good"
        assert ("unknown", "Tollgate's user may not read appendfsync, which is well") in look(
            served, address, "redis persistence", **password)
        redis.must("ACL", "SETUSER", "tollgate", "-time")
        assert look(served, address, "clocks", **password) == [("unknown", "Redis does not tell its time")]


def test_a_network_without_tls_and_without_password_is_unsafe(served: Served, tmp_path: Path, password: dict[str, Any]) -> None:
    """0.0.0.0 is no loopback address, and leads here."""
    authority = make_authority(tmp_path)
    tls = {"redis_ca": authority["ca"], "redis_tls_name": "127.0.0.1"}
    with Server(tmp_path / "plain", {**DURABLE, "user": LEAST}) as redis:
        address = f"redis://0.0.0.0:{redis.port}"
        over = f"{address} is reached over the network without TLS"
        assert look(served, address, "redis") == [("unsafe", over), ("unsafe", f"no password is needed to use {address}")]
        assert look(served, address, "redis", **password) == [("unsafe", over), ("good", f"a password is needed to use {address}")]
        here = f"redis://{redis.where}"
        assert look(served, here, "redis") == [("good", f"{here} is on this machine")]
    with Server(tmp_path / "tls", {**DURABLE, "user": LEAST}, tls=authority) as redis:
        address = f"rediss://0.0.0.0:{redis.port}"
        assert look(served, address, "redis", **password, **tls) == [
            ("good", f"{address} is reached over the network with TLS"), ("good", f"a password is needed to use {address}")]


AHEAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
int gettimeofday(struct timeval *restrict tv, void *restrict tz)
{
    int (*real)(struct timeval *, void *) = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    int answer = real(tv, tz);

    tv->tv_sec += SECONDS;
    return answer;
}
"""


@pytest.mark.parametrize(("seconds", "health"), [(20, "good"), (-3600, "unsafe"), (3600, "unsafe")])
def test_a_redis_whose_clock_is_another_is_unsafe(served: Served, tmp_path: Path, seconds: int, health: str) -> None:
    """The real one, in whose process the time of day is another."""
    source, library, program = tmp_path / "ahead.c", tmp_path / "ahead.so", tmp_path / "redis-server"
    source.write_text(AHEAD.replace("SECONDS", str(seconds)))
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True, capture_output=True)
    program.write_text(f'#!/bin/sh\nLD_PRELOAD={library} exec redis-server "$@"\n')
    program.chmod(0o755)
    with Server(tmp_path / "redis", DURABLE, program=(str(program),)) as redis:
        ((found, says),) = look(served, f"redis://{redis.where}", "clocks")
    assert found == health
    apart = int(says.removeprefix("Redis's clock and this machine's are ").removesuffix(" s apart"))
    assert abs(apart - abs(seconds)) < 600, "the machine may be slow between both looks"


def test_a_redis_that_is_too_old_is_unsafe(served: Served, tmp_path: Path) -> None:
    """The real one, which says that it is of another version."""
    said = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout
    version = said.partition("v=")[2].split()[0]
    old = "6" + version[1:]
    program = tmp_path / "redis-server"
    whole = Path(shutil.which("redis-server") or "").read_bytes()
    assert whole.count(f"\0{version}\0".encode()) == 1
    program.write_bytes(whole.replace(f"\0{version}\0".encode(), f"\0{old}\0".encode()))
    program.chmod(0o755)
    with Server(tmp_path / "redis", DURABLE) as redis:
        assert look(served, f"redis://{redis.where}", "redis version") == [("good", f"it is {version}")]
    with Server(tmp_path / "old", DURABLE, program=(str(program),)) as redis:
        assert look(served, f"redis://{redis.where}", "redis version") == [("unsafe", f"it is {old}")]
