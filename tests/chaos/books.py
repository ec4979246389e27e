"""All the evidence of one run: what the clients saw, what the model servers served, what the archive and Redis hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import grants, world
from .certificates import Shown
from .clients import Seen
from .evidence import RedisReader, Writer
from .outages import Outage
from .people import Operation
from .upstream import Served

COMPLETE = "complete"


@dataclass
class Books:
    seen: list[Seen]
    served: dict[str, list[Served]]
    writers: dict[str, Writer]
    redis: RedisReader
    credits: Counter[str]                   # account -> nanos, each operation once
    adjustments: Counter[str]
    refunds: Counter[str]
    asked_grants: list[Operation]
    left_grants: dict[str, dict[str, int]]  # account -> operation -> nanos, as `account show` has it
    period: str                             # that was closed
    closed_at: float                        # by the hosts' clock: grants that had ended by then are over
    lost: set[str]                          # request ids that went with a journal that had not shipped them
    revoking: dict[str, float]              # public id -> when its revocation was asked for
    revoked: dict[str, float]               # and when it was said to be in force
    outages: list[Outage]                   # in which workers let postpaid accounts go on
    destroyed: dict[str, dict[str, tuple[int, str]]]    # writer of a destroyed journal that had shipped everything -> its heads
    certificates: dict[str, list[Shown]]    # of each host, in order
    lowest: dict[str, tuple[int, float]]    # prepaid account -> the lowest balance that was seen, and when
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.events: dict[str, list[Any]] = defaultdict(list)
        self.grant_records: dict[str, list[Any]] = defaultdict(list)        # by account
        for writer in self.writers.values():
            for record in writer.records:
                if record["kind"] == "call":
                    self.events[record["request_id"]].append(record)
                elif record["kind"] in ("grant", "expiry"):
                    self.grant_records[record["account"]].append(record)
        self.by_id = {seen.request_id: seen for seen in self.seen
                      if seen.status == 200 and seen.request_id and not seen.replays}

    @property
    def refund_records(self) -> dict[tuple[str, str], Any]:
        """By call and operation: the archive may hold one twice, from both consoles."""
        return {(record["request_id"], record["op"]): record for writer in self.writers.values()
                for record in writer.records if record["kind"] == "refund"}

    def by_model(self, records: Iterable[Any]) -> Counter[str]:
        sums: Counter[str] = Counter()
        for record in records:
            sums[record["model"]] += world.nanos(record["amount"])
        return sums

    @property
    def grants(self) -> dict[str, list[grants.Grant]]:
        return {account: grants.read(records) for account, records in self.grant_records.items()}

    def grants_in(self, period: str) -> dict[str, list[grants.Grant]]:
        """As they stood at its end."""
        return {account: grants.read(record for record in records if record["period"] == period)
                for account, records in self.grant_records.items()}

    @property
    def debits(self) -> Counter[str]:
        """What each account's calls cost."""
        sums: Counter[str] = Counter()
        for event in self.all_events:
            sums[event["account"]] += world.nanos(event["amount"])
        return sums

    @property
    def all_events(self) -> list[Any]:
        return [event for events in self.events.values() for event in events]
