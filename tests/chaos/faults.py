"""The table of faults: what is done to whom, for how long, and how it is undone; and the schedule drawn from a seed.

The schedule is a pure function of seed, minutes and the choice of faults. Each lane has a generator of its own and does
its faults one after another; lanes overlap as they like.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from . import acts, rotations, world, wreck
from .stack import NAMES, Stack

Draw = random.Random


@dataclass(frozen=True)
class Fault:
    name: str
    lane: str                                       # instance, both, network, or how Redis runs: redis, sentinel, cluster
    weight: int
    draw: Callable[[Draw], dict[str, Any]]          # its particulars
    act: acts.Act                                   # does it and undoes it; says what happened
    needs: str = ""                                 # shim, disk, archive disk: what else must be there


@dataclass
class Planned:
    at: float                                       # seconds from the start
    lane: str                                       # redis, north, north-net …
    fault: Fault
    particulars: dict[str, Any]
    began: float = 0.0                              # wall clock
    healed: float = 0.0
    result: str = ""

    def line(self) -> str:
        given = " ".join(f"{name}={value}" for name, value in self.particulars.items())
        return f"{self.at:8.1f} s  {self.lane:10} {self.fault.name:18} {given}"


def seconds(least: float, most: float) -> Callable[[Draw], dict[str, Any]]:
    return lambda draw: {"seconds": round(draw.uniform(least, most), 2)}


def both(*parts: Callable[[Draw], dict[str, Any]], **fixed: Any) -> Callable[[Draw], dict[str, Any]]:
    """The particulars of all parts, drawn in order."""
    return lambda draw: {**fixed, **{name: value for part in parts for name, value in part(draw).items()}}


def one_of(name: str, *values: Any) -> Callable[[Draw], dict[str, Any]]:
    return lambda draw: {name: draw.choice(values)}


LINK = one_of("link", "redis", "redis", "first", "second")
WHICH = one_of("which", 0, 1, 2)
FIRST = one_of("first", 0, 1)
PAUSE = one_of("pause", 0.0, 1.0, 4.0)
EIO, ENOSPC = 5, 28

FAULTS = [
    Fault("worker killed", "instance", 10, both(one_of("count", 1, 1, 2), kind="worker"), acts.kill_child),
    Fault("worker paused", "instance", 4, both(seconds(0.3, 15), kind="worker"), acts.pause_child),
    Fault("console killed", "instance", 5, both(count=1, kind="console"), acts.kill_child),
    Fault("console paused", "instance", 3, both(seconds(0.3, 15), kind="console"), acts.pause_child),
    Fault("master killed", "instance", 4, seconds(0.0, 3.0), acts.kill_master),
    Fault("master paused", "instance", 2, seconds(0.3, 5), acts.pause_master),
    Fault("restarted", "instance", 2, seconds(0.0, 2.0), acts.restart),
    Fault("reloaded", "instance", 4, both(seconds=12), acts.reload),
    Fault("secrets replaced", "instance", 3, both(seconds=12), acts.replace_secrets),
    Fault("certificate replaced", "instance", 3, lambda draw: {}, rotations.replace_certificate),
    Fault("disk full", "instance", 3, seconds(1.0, 6.0), acts.fill_disk, "disk"),
    Fault("fdatasync fails", "instance", 3, both(seconds(1, 3), what="syncs", times=1, error=EIO), acts.fail_disk, "shim"),
    Fault("write fails", "instance", 3, both(seconds(1, 3), one_of("error", EIO, ENOSPC), one_of("times", 1, 1, 3),
                                             what="writes"), acts.fail_disk, "shim"),
    Fault("open fails", "instance", 2, both(seconds(1, 3), one_of("error", EIO, ENOSPC), one_of("times", 1, 2),
                                            what="opens"), acts.fail_disk, "shim"),
    Fault("clock jumps", "instance", 3, both(seconds(0.5, 6), one_of("ms", -30_000, -2_000, 1_500, 20_000, 50_000)),
          acts.jump_clock, "shim"),
    Fault("journal destroyed", "instance", 2, lambda draw: {"which": draw.randint(0, 9)}, acts.apart(wreck.destroy_shipped)),
    Fault("journal loss", "instance", 0, seconds(0.5, 3), wreck.destroy_unshipped),     # only when asked for
    Fault("pepper changed", "both", 4, both(FIRST, PAUSE), rotations.change_pepper),
    Fault("password changed", "both", 3, both(FIRST, PAUSE), rotations.change_redis_password),
    Fault("archive full", "both", 3, seconds(1.0, 8.0), acts.fill_archive, "archive disk"),
    Fault("redis killed", "redis", 10, both(seconds(0.0, 4.0), one_of("cut", 0, 1, 200, 3000, 60_000, 400_000)),
          acts.apart(acts.kill_redis)),
    Fault("redis paused", "redis", 5, seconds(0.2, 12), acts.pause_redis),
    Fault("redis blocked", "redis", 2, seconds(0.2, 4), acts.block_redis),
    Fault("redis emptied", "redis", 2, seconds(0.0, 2), acts.apart(acts.flush_redis)),
    Fault("master redis killed", "sentinel", 6, both(seconds(0, 6), which=0), acts.apart(acts.kill_master_redis)),
    Fault("master redis paused", "sentinel", 4, both(seconds(0.3, 8), which=0), acts.apart(acts.pause_master_redis)),
    Fault("master redis killed", "cluster", 5, both(seconds(0, 6), WHICH), acts.apart(acts.kill_master_redis)),
    Fault("master redis paused", "cluster", 3, both(seconds(0.3, 8), WHICH), acts.apart(acts.pause_master_redis)),
    Fault("slot moved", "cluster", 6, both(WHICH, lambda draw: {"partition": draw.choice(world.partitions())}), acts.move_slot),
    Fault("link cut", "network", 8, both(LINK, one_of("seconds", 0, 0, 0.5, 3)), acts.cut_link),
    Fault("link half closed", "network", 3, LINK, acts.half_close_link),
    Fault("link slow", "network", 4, both(LINK, seconds(1, 8), one_of("delay", 0.02, 0.1, 0.4)), acts.slow_link),
    Fault("link silent", "network", 4, both(LINK, seconds(0.5, 8), one_of("then", "cut", "flows")), acts.silence_link),
]
LANES = {"redis": ("", 14.0),                   # of the kind that is run: redis, sentinel or cluster
         **{name: ("instance", 9.0) for name in NAMES},
         "both": ("both", 12.0),
         **{f"{name}-net": ("network", 11.0) for name in NAMES}}


def schedule(seed: int, minutes: float, redis: str, chosen: Callable[[Fault], bool]) -> list[Planned]:
    """The faults of all lanes in order of their times; the last begin some seconds before the end."""
    planned = []
    for lane, (kind, gap) in LANES.items():
        draw = random.Random(f"{seed}/lane/{lane}")
        kind = kind or ("redis" if redis == "alone" else redis)
        rows = [fault for fault in FAULTS if fault.lane == kind and chosen(fault)]
        at = 4.0 + draw.uniform(0, gap)
        while rows and at < minutes * 60 - 5:
            fault = draw.choices(rows, [row.weight or 1 for row in rows])[0]
            particulars = fault.draw(draw)
            planned.append(Planned(round(at, 1), lane, fault, particulars))
            at += particulars.get("seconds", 0) + 2 + draw.expovariate(1 / gap)
    return sorted(planned, key=lambda one: (one.at, one.lane))


@dataclass
class Lane(threading.Thread):
    """Does one lane's faults at their times. What goes wrong in it is kept and told at the end."""

    name_of_lane: str
    stack: Stack
    planned: list[Planned]
    over: threading.Event
    say: Callable[[str], None]
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    def run(self) -> None:
        start = time.monotonic()
        for one in self.planned:
            if self.over.wait(max(0.0, start + one.at - time.monotonic())):
                return
            one.began = time.time()
            try:
                one.result = one.fault.act(self.stack, self.name_of_lane, one.particulars, self.over)
            except Exception as error:      # noqa: BLE001 - any failure here is a finding, not a reason to stop
                one.result = f"FAILED: {error!r}"
                self.failures.append(f"{one.line()}: {error!r}")
            one.healed = time.time()
            if one.result == acts.TOO_LATE:
                one.began = one.healed = 0.0
            self.say(f"{time.monotonic() - start:8.1f} s  {one.lane:10} {one.fault.name:18} {one.result}")

    __hash__ = threading.Thread.__hash__
