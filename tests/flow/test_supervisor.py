"""What systemd is told through $NOTIFY_SOCKET, and the unit that says so."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator

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


def test_the_unit_reloads_by_the_signal_and_waits_for_the_drain() -> None:
    unit = dict(line.split("=", 1) for line in (TOP / "conf/tollgate.service").read_text().splitlines()
                if "=" in line and not line.startswith("#"))
    assert unit["Type"] == "notify" and unit["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert int(unit["TimeoutStopSec"]) > 60 + 20, "longer than drain_timeout's default and a worker's grace"
    assert unit["NoNewPrivileges"] == "yes" and unit["ProtectSystem"] == "strict"
