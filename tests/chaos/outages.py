"""When workers let postpaid accounts go on without Redis: their hosts' logs say so as they begin and end. A host's clock may
jump, so a line has the times of the harness when it was not there yet, and when it was."""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path

LOOK_SECONDS = 0.05


@dataclass
class Outage:
    """No shorter than it was."""

    host: str
    worker: str
    since: float
    until: float = math.inf


def is_during(outages: list[Outage], host: str, since: float, until: float) -> bool:
    return any(one.host == host and one.since <= until and since <= one.until for one in outages)


class OutageWatch(threading.Thread):
    """Reads along in the logs of all hosts until it is stopped."""

    def __init__(self, logs: dict[str, Path]) -> None:
        super().__init__(daemon=True)
        self.outages: list[Outage] = []
        self.is_over = threading.Event()
        self.files = {host: path.open("rb") for host, path in logs.items()}
        self.begun = dict.fromkeys(logs, b"")       # the line that is not whole yet
        self.reloading: set[str] = set()            # hosts on which two workers may have one name

    def stop(self) -> None:
        self.is_over.set()
        self.join()

    def run(self) -> None:
        before = time.time()
        while not self.is_over.wait(LOOK_SECONDS):
            looked = time.time()
            for host, file in self.files.items():
                *lines, self.begun[host] = (self.begun[host] + file.read()).split(b"\n")
                for line in lines:
                    with contextlib.suppress(ValueError, KeyError):     # ending.py says which is none of a log
                        self._take(host, json.loads(line), before)
            before = looked

    def _take(self, host: str, line: dict[str, str], before: float) -> None:
        event, process = line["event"], line["process"]
        if event == "offline_began":
            self.outages.append(Outage(host, process, before))
        elif event == "started" and process == "master":    # nothing that ran before does
            self.reloading.discard(host)
            self._end(host)
        elif event == "reloading":
            self.reloading.add(host)
        elif event == "all_reloaded":
            self.reloading.discard(host)
        elif event in ("offline_ended", "child_died") and host not in self.reloading:
            self._end(host, process if event == "offline_ended" else line["text"].partition(" (")[0])

    def _end(self, host: str, worker: str | None = None) -> None:
        now = time.time()
        for one in self.outages:
            if one.host == host and worker in (None, one.worker):
                one.until = min(one.until, now)
