"""What a run says at its end: calls by how they ended, faults by kind, and how long healing took."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from typing import TYPE_CHECKING

from .clients import Seen
from .faults import Planned

if TYPE_CHECKING:
    from .__main__ import Run


def spell(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def heal_times(plan: list[Planned], seen: list[Seen], names: list[str]) -> dict[str, list[float]]:
    """By kind of fault: from its end to the head of the first answer to a call sent after it, on the instance that it
    struck; on the slower of both, when it struck both. Whatever other fault acts meanwhile is part of that time; infinite
    where no call was answered any more, though calls go on for some seconds after all is well."""
    answers: dict[str, list[tuple[float, float]]] = {}
    for call in seen:
        if call.status == 200:
            answers.setdefault(call.instance, []).append((call.sent, call.answered))
    times: dict[str, list[float]] = {}
    for one in plan:
        if not one.healed:
            continue
        struck = [name for name in names if name == one.lane.removesuffix("-net")] or names
        firsts = [min((answered for sent, answered in answers.get(name, []) if sent >= one.healed), default=math.inf)
                  for name in struck]
        times.setdefault(one.fault.name, []).append(max(firsts) - one.healed)
    return times


def tell(run: Run) -> None:
    seen = [call for client in run.clients for call in client.calls]
    times = heal_times(run.plan, seen, sorted(run.stack.instances))
    run.say(f"   {len(seen)} calls: " + ", ".join(
        f"{count} {way}" for way, count in Counter(call.way for call in seen).most_common()))
    run.say("   answers: " + ", ".join(
        f"{count} {word}" for word, count in Counter(
            call.code or str(call.status or "none") for call in seen).most_common()))
    run.say("   " + ", ".join(f"{count} {name}" for name, count in sorted(run.figures["counts"].items())))
    run.say("   " + ", ".join(f"{count} {name}" for name, count in sorted(run.people.counts.items())))
    run.say(f"   {'fault':18} {'times':>6} {'median heal':>12} {'worst':>8}")
    for name in sorted(times):
        run.say(f"   {name:18} {len(times[name]):6} {statistics.median(times[name]):10.2f} s {max(times[name]):6.1f} s")
    every = [seconds for many in times.values() for seconds in many]
    if every:
        run.say(f"   {'all':18} {len(every):6} {statistics.median(every):10.2f} s {max(every):6.1f} s")
    run.figures.update(calls=len(seen), faults={name: len(many) for name, many in times.items()},
                       heal={name: [round(value, 3) if math.isfinite(value) else None for value in many]
                             for name, many in times.items()})
