"""What systemd is told through $NOTIFY_SOCKET, and the unit that says so."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import tollgate
from tollgate import BINARY, TOP, Process, Served


@pytest.fixture
def supervisor(served: Served) -> Iterator[socket.socket]:
    """Listens as systemd does; the server is started with its address."""
    path = served.state.parent / "notify.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(tollgate.PATIENCE * tollgate.SLOWER)
        served.write_config()
        served.redis.start()
        served.process = Process([BINARY, "serve", "-c", str(served.config)], served.log,
                                 environment={"NOTIFY_SOCKET": str(path)})
        yield listener


def test_it_is_told_when_the_server_is_ready_reloads_and_stops(served: Served, supervisor: socket.socket) -> None:
    assert supervisor.recv(256) == b"READY=1"
    assert served.is_alive(), "who is told that it is ready can connect"
    served.wait_ready()
    os.kill(served.pid, signal.SIGHUP)
    assert re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=[0-9]+", supervisor.recv(256))
    assert supervisor.recv(256) == b"READY=1"
    served.config.write_text("nonsense")
    os.kill(served.pid, signal.SIGHUP)
    assert supervisor.recv(256).startswith(b"RELOADING=1")
    assert supervisor.recv(256) == b"READY=1", "a refused reload has ended, too"
    assert served.process
    os.kill(served.pid, signal.SIGTERM)
    assert supervisor.recv(256) == b"STOPPING=1"
    assert served.process.popen.wait(tollgate.PATIENCE * tollgate.SLOWER) == 0


UNIT = TOP / "conf" / "tollgate.service"
EXPOSURE_MAX = "25"         # tenths of systemd's scale, on which 100 is a service that may do everything


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with this program in the place of the installed one."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/usr/local/bin/tollgate", str(Path(BINARY).resolve())))
    return path


def analyze(*words: str) -> tuple[int, str]:
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False,
                          timeout=tollgate.PATIENCE * tollgate.SLOWER)
    return done.returncode, done.stderr


def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path) -> None:
    verify = ("verify", "--recursive-errors=no", "--man=no", str(unit))
    assert analyze(*verify) == (0, "")
    for good, bad, told in (("ProtectSystem=", "ProtectsSystem=", "ProtectsSystem"), ("TimeoutStopSec=", "TimeoutStopSec=a", "time value"),
                            ("@system-service", "@service", "@service"), (" serve", "-none serve", "not executable")):
        text = unit.read_text()
        unit.write_text(text.replace(good, bad))
        assert told in analyze(*verify)[1], "what it is asked, it judges"
        unit.write_text(text)


def test_the_service_may_do_hardly_anything(unit: Path) -> None:
    exposure = ("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE_MAX}", str(unit))
    assert analyze(*exposure)[0] == 0
    unit.write_text(re.sub(r"^(Protect|Restrict|NoNew|Capability|SystemCall).*\n", "", unit.read_text(), flags=re.MULTILINE))
    assert analyze(*exposure)[0] != 0


def test_the_unit_reloads_by_the_signal_and_waits_for_the_drain() -> None:
    options = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line and not line.startswith("#"))
    assert options["Type"] == "notify" and options["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(options["TimeoutStopSec"]) > 60 + 20, "longer than drain_timeout's default and a worker's grace"
