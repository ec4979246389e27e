"""What accounts spent by day and month, against which budgets are held, counted once more from the events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from . import world

if TYPE_CHECKING:
    from .books import Books


def what_was_spent_in_a_day_is_its_calls(books: Books) -> Iterator[str]:
    """By account, key and model, in the account's day and month in which each call began; whatever Redis lost meanwhile."""
    due: dict[str, Counter[str]] = defaultdict(Counter)
    for event in books.all_events:
        day, nanos = day_of(event), world.nanos(event["amount"])
        if day not in days_of(event):
            yield f"{event['request_id']} of {event['account']} began at {event['started_at']}, and counts on {day}"
        for window in (day, day[:len("2026-11")]):
            sums = due[f"{event['account']}:{window}:{event['currency']}"]
            for part in ("account", f"key:{event['key']}", f"model:{event['model']}"):
                sums[part] += nanos
        due[f"{event['account']}:{day}:{event['currency']}"][f"calls:{event['model']}"] += 1
    found = {key.partition(":spent:")[2]: Counter({part: int(nanos) for part, nanos in books.redis.table(key).items()})
             for key in books.redis.keys("tg:{a??}:spent:*")}
    for window in sorted({*due, *found}):
        if +due[window] != +found.get(window, Counter()):
            yield f"spent {window}: the calls sum to {dict(+due[window])}, and Redis has {dict(found.get(window, {}))}"
    books.counts["days and months in which accounts spent"] = len(due)


def began_in(event: dict[str, Any], zone: ZoneInfo) -> str:
    return f"{datetime.fromisoformat(event['started_at']).astimezone(zone):%Y-%m-%d}"


def day_of(event: dict[str, Any]) -> str:
    """As its record says; where it says nothing, the platform's."""
    return str(event.get("began_on") or began_in(event, world.ZONE))


def days_of(event: dict[str, Any]) -> set[str]:
    """On which it may count: in the zones that its account has had."""
    account = world.ACCOUNT_BY_NAME[event["account"]]
    zones = [*map(ZoneInfo, world.MOVES), world.ZONE] if account.name == world.MOVING else [account.zone]
    return {began_in(event, zone) for zone in zones}
