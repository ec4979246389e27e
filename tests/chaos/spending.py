"""What accounts spent by day and month, against which budgets are held, counted once more from the events."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from . import world

if TYPE_CHECKING:
    from .books import Books


def what_was_spent_in_a_day_is_its_calls(books: Books) -> Iterator[str]:
    """By account, key and model, in the account's day and month in which each call began; whatever Redis lost meanwhile."""
    due: dict[str, Counter[str]] = defaultdict(Counter)
    for event in books.all_events:
        began = datetime.fromisoformat(event["started_at"]).astimezone(world.ACCOUNT_BY_NAME[event["account"]].zone)
        nanos = world.nanos(event["amount"])
        for window in (f"{began:%Y-%m-%d}", f"{began:%Y-%m}"):
            sums = due[f"{event['account']}:{window}:{event['currency']}"]
            for part in ("account", f"key:{event['key']}", f"model:{event['model']}"):
                sums[part] += nanos
        due[f"{event['account']}:{began:%Y-%m-%d}:{event['currency']}"][f"calls:{event['model']}"] += 1
    found = {key.partition(":spent:")[2]: Counter({part: int(nanos) for part, nanos in books.redis.table(key).items()})
             for key in books.redis.keys("tg:{a??}:spent:*")}
    for window in sorted({*due, *found}):
        if +due[window] != +found.get(window, Counter()):
            yield f"spent {window}: the calls sum to {dict(+due[window])}, and Redis has {dict(found.get(window, {}))}"
    books.counts["days and months in which accounts spent"] = len(due)
