"""tests/soak in small: SDK clients of both kinds against the real model while the gateway is reloaded, then the books."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import model_server
import tollgate
from tollgate import TOP, Process

CLIENTS, RELOADS = 12, 3


@pytest.mark.timeout(1800)
def test_clients_of_both_sdks_see_no_error_through_reloads_and_the_books_are_right(tmp_path_factory: pytest.TempPathFactory) -> None:
    """It takes as long as every client needs for an answer after each reload, at least a minute."""
    folder = tmp_path_factory.mktemp("soak")        # a short name: sockets stand below it
    out = folder / "out"
    with out.open("wb") as stdout:
        soak = Process(["sh", str(TOP / "tests" / "soak" / "run"), "--minutes", "1", "--clients", str(CLIENTS), "--reloads",
                        str(RELOADS)], out, stdout=stdout.fileno(),
                       environment={"TOLLGATE": str(Path(tollgate.BINARY).resolve()), "PYTHON": sys.executable,
                                    "TOLLGATE_MODEL": str(model_server.FOLDER), "TMPDIR": str(folder)})
    try:
        soak.popen.wait(1700)
    finally:
        code = soak.stop()
    said = out.read_text()
    assert code == 0 and said.endswith("soak: clean\n"), said
    answers = int(re.search(r" s  (\d+) answers in ", said)[1])         # type: ignore[index]
    assert f"reload {RELOADS}: " in said and answers >= CLIENTS * RELOADS, said
    assert f"; {answers} receipts proved" in said, said
