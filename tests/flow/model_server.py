"""A real model behind OpenAI's API: conf/model/server.py, as conf/quickstart --with-model runs it.

    with ModelServer() as server:
        client = openai.OpenAI(base_url=server.url, api_key="unused")
        client.chat.completions.create(model=server.model, messages=..., max_tokens=32)

$TOLLGATE_MODEL names the folder that conf/model/fetch filled; without it that is .model/, which tests/run fills.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

TOP = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("TOLLGATE_MODEL", TOP / ".model"))
MODEL = "smollm2-135m"


class ModelServerError(RuntimeError):
    """The server is not there, did not start, or died."""


class ModelServer:
    """Serves `model` at `url` (which ends in /v1) from process `pid`, between entering and leaving the context.

    `slots` answers are generated at a time, each with `context` tokens of prompt and answer; further calls wait.
    `port` 0 takes a free one. Entering fails after `timeout` seconds.
    """

    model = MODEL

    def __init__(self, *, port: int = 0, slots: int = 2, context: int = 2048, threads: int = 1,
                 timeout: float = 120.0) -> None:
        self.url = ""
        self.pid = 0
        self._arguments = [f"--port={port}", f"--slots={slots}", f"--context={context}", f"--threads={threads}"]
        self._timeout = timeout
        self._address = ""

    def __enter__(self) -> ModelServer:
        python = FOLDER / "bin" / "python"
        if not python.exists():
            raise ModelServerError(f"there is no model: sh conf/model/fetch {FOLDER}")
        # setpriv: when pytest is killed, the server ends as well.
        command = ["setpriv", "--pdeathsig", "KILL", str(python), str(TOP / "conf" / "model" / "server.py"), *self._arguments]
        self._output, self._log = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=self._log)
        self.pid = self._process.pid
        try:
            self._wait_until_ready(time.monotonic() + self._timeout)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._stop()

    def log(self) -> str:
        """What the server has logged so far."""
        return _written(self._log)

    def busy_slots(self) -> int:
        """How many answers are being generated now: 0 soon after the last client of a stream hung up."""
        return sum(slot["is_processing"] for slot in self._get("/slots"))

    def _wait_until_ready(self, deadline: float) -> None:
        while not (ready := re.search(r"^ready http://(\S+)\n", _written(self._output), re.MULTILINE)):
            if self._process.poll() is not None:
                raise ModelServerError(f"the model server ended with {self._process.returncode}:\n{self.log()[-4000:]}")
            if time.monotonic() > deadline:
                raise ModelServerError(f"no model server after {self._timeout} s:\n{self.log()[-4000:]}")
            time.sleep(0.02)
        self._address = ready[1]
        served = [model["id"] for model in self._get("/v1/models")["data"]]
        if served != [self.model]:
            raise ModelServerError(f"the model server offers {served}, not {self.model}")
        self.url = f"http://{self._address}/v1"

    def _get(self, path: str) -> Any:
        with contextlib.closing(http.client.HTTPConnection(self._address, timeout=self._timeout)) as connection:
            connection.request("GET", path)
            return json.load(connection.getresponse())

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()
        self._log.close()


def _written(file: IO[bytes]) -> str:
    """All that a process has written to `file`; pread leaves alone the file offset, which that process shares."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")
