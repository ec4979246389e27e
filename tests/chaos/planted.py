"""Checks that find nothing prove nothing unless they would have found something: errors are planted in the evidence of a
clean run, one at a time, and each must be seen by some check."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

from . import world
from .books import COMPLETE, Books
from .checks import CHECKS
from .evidence import RedisReader


class SpoiledRedis:
    """Redis as it is, but for one answer."""

    def __init__(self, redis: RedisReader, pattern: str, spoil: Callable[[dict[str, str]], dict[str, str]]) -> None:
        self.redis, self.spoil = redis, spoil
        self.key = next((key for key in redis.keys(pattern) if redis.table(key)), None)

    def keys(self, pattern: str) -> list[str]:
        return self.redis.keys(pattern)

    def table(self, key: str) -> dict[str, str]:
        return self.spoil(self.redis.table(key)) if key == self.key else self.redis.table(key)


class RedisWithHold(SpoiledRedis):
    def __init__(self, redis: RedisReader) -> None:
        super().__init__(redis, "tg:{a??}:account:*", dict)

    def keys(self, pattern: str) -> list[str]:
        return ["tg:{a00}:holds:planted"] if pattern == "tg:{a??}:holds:*" else self.redis.keys(pattern)


def billed(books: Books, is_complete: bool) -> tuple[str, Any]:
    """A call that was billed, and its event."""
    return next((request_id, events[0]) for request_id, events in books.events.items()
                if (events[0]["outcome"] == COMPLETE) == is_complete and request_id in books.by_id
                and books.by_id[request_id].saw_end == is_complete and request_id in books.served)


def change(books: Books, is_complete: bool, **changed: Any) -> None:
    request_id, event = billed(books, is_complete)
    books.events[request_id] = [{**event, **changed}]


def more_tokens(books: Books, is_complete: bool, more: int) -> None:
    """At the right price, so that only a comparison with the model server can tell."""
    _, event = billed(books, is_complete)
    units = dict(event["units"])
    units["output_tokens"] = units.get("output_tokens", 0) + more
    price = event["price"].split("@")[0]
    change(books, is_complete, units=world.with_call(price, units), amount=spell(world.cost(price, units)))


def spell(nanos: int) -> str:
    return f"{nanos // world.NANOS}.{nanos % world.NANOS:09}"


def change_seen(books: Books, **changed: Any) -> None:
    first = next(seen for seen in books.seen if seen.certificate)
    books.seen = [dataclasses.replace(first, **changed), *books.seen]


def an_expiry(books: Books) -> Any:
    """The first that took something back."""
    return next(record for records in books.grant_records.values() for record in records
                if record["kind"] == "expiry" and record["amount"] != "0")


def change_expiry(books: Books, more: int) -> None:
    record = an_expiry(books)
    changed = {**record, "amount": spell(world.nanos(record["amount"]) + more)}
    books.grant_records[record["account"]] = [changed if one is record else one
                                              for one in books.grant_records[record["account"]]]


def drop_expiries(books: Books) -> None:
    record = an_expiry(books)
    books.grant_records[record["account"]] = [one for one in books.grant_records[record["account"]]
                                              if one["kind"] == "grant" or one["op"] != record["op"]]


def one_nano_more(table: dict[str, str]) -> dict[str, str]:
    return {name: str(int(value) + 1) if name == "balance" or " " in name else value for name, value in table.items()}


def one_behind(table: dict[str, str]) -> dict[str, str]:
    return {writer: f"{int(text.split(' ')[0]) - 1} {text.split(' ')[1]}" for writer, text in table.items()}


PLANTED: dict[str, Callable[[Books], None]] = {
    "an event is missing": lambda books: books.events.pop(billed(books, True)[0]) and None,
    "an event is there twice": lambda books: books.events[billed(books, True)[0]].append(billed(books, True)[1]),
    "an amount is a nano higher": lambda books: change(
        books, True, amount=spell(world.nanos(billed(books, True)[1]["amount"]) + 1)),
    "a whole call is billed a token more": lambda books: more_tokens(books, True, 1),
    "a call that was cut off is billed more than was made": lambda books: more_tokens(books, False, 300),
    "a whole call names another server": lambda books: change(books, True, backend="nobody"),
    "a credit counts twice": lambda books: books.credits.update({"plenty": 1}),
    "more of a grant was taken back than was left": lambda books: change_expiry(books, 1),
    "less of a grant was taken back than was left": lambda books: change_expiry(books, -1),
    "a grant that ended was not taken back": drop_expiries,
    "a grant is given that nobody asked for": lambda books: books.asked_grants.pop() and None,
    "a good key is refused": lambda books: change_seen(books, status=401, key="nobody"),
    "an earlier certificate is shown": lambda books: change_seen(books, certificate="earlier"),
    "a balance is a nano higher": lambda books: setattr(
        books, "redis", SpoiledRedis(books.redis, "tg:{a??}:account:plenty", one_nano_more)),
    "earnings are a nano higher": lambda books: setattr(
        books, "redis", SpoiledRedis(books.redis, "tg:{m??}:gross:*", one_nano_more)),
    "a day's spending is a nano higher": lambda books: setattr(
        books, "redis", SpoiledRedis(books.redis, "tg:{a??}:spent:*", lambda table: {
            name: str(int(value) + (name == "account")) for name, value in table.items()})),
    "a cursor is one behind": lambda books: setattr(
        books, "redis", SpoiledRedis(books.redis, "tg:{a??}:cursors", one_behind)),
    "a hold is left": lambda books: setattr(books, "redis", RedisWithHold(books.redis)),
}


def unseen(books: Books) -> list[str]:
    """The planted errors that no check saw."""
    missed = []
    for name, plant in PLANTED.items():
        spoiled = copy.copy(books)
        spoiled.events = {request_id: list(events) for request_id, events in books.events.items()}
        spoiled.credits, spoiled.counts = books.credits.copy(), books.counts.copy()
        spoiled.grant_records, spoiled.asked_grants = dict(books.grant_records), list(books.asked_grants)
        plant(spoiled)
        if not any(any(True for _ in check(spoiled)) for check in CHECKS):
            missed.append(f"planted, and no check saw it: {name}")
    return missed
