"""Checks that find nothing prove nothing unless they would have found something: errors are planted in the evidence of a
clean run, one at a time, and each must be seen by the check that is there for it. No check is without one."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from . import checks, grants, spending, world
from .books import COMPLETE, Books
from .clients import Seen
from .evidence import RedisReader
from .outages import is_during

Check = Callable[[Books], Iterator[str]]
Plant = Callable[[Books], None]


class SpoiledRedis:
    """Redis as it is, but for one answer."""

    def __init__(self, redis: RedisReader, pattern: str, spoil: Callable[[dict[str, str]], dict[str, str]]) -> None:
        self.redis, self.spoil = redis, spoil
        self.key = next((key for key in redis.keys(pattern) if redis.table(key)), None)

    def keys(self, pattern: str) -> list[str]:
        return self.redis.keys(pattern)

    def table(self, key: str) -> dict[str, str]:
        return self.spoil(self.redis.table(key)) if key == self.key else self.redis.table(key)


class RedisWithMore(SpoiledRedis):
    """One more key of this pattern, and what it holds."""

    def __init__(self, redis: RedisReader, pattern: str, more: str, held: dict[str, str]) -> None:
        super().__init__(redis, pattern, dict)
        self.pattern, self.more, self.held = pattern, more, held

    def table(self, key: str) -> dict[str, str]:
        return self.held if key == self.more else super().table(key)

    def keys(self, pattern: str) -> list[str]:
        return [*self.redis.keys(pattern), *([self.more] if pattern == self.pattern else [])]


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


def answered(books: Books, is_prepaid: bool) -> Seen:
    """By a host that had Redis."""
    return next(seen for seen in books.seen if seen.status == 200
                and world.ACCOUNT_BY_NAME[seen.account].is_prepaid == is_prepaid
                and not is_during(books.outages, seen.instance, seen.sent, seen.answered))


def revoke_before(books: Books, seen: Seen) -> None:
    books.revoked = {**books.revoked, seen.key: seen.sent - 1}


def same_errand(books: Books) -> None:
    """Of two calls that were both billed in full."""
    whole = [seen for seen in books.seen if seen.saw_end and seen.request_id in books.events and not seen.replays
             and books.events[seen.request_id][0]["outcome"] == COMPLETE]
    first = whole[0]
    other = next(seen for seen in whole if seen.request_id != first.request_id)
    books.seen = [*books.seen, *(dataclasses.replace(seen, errand="planted") for seen in (first, other))]


def serve_again(books: Books) -> None:
    request_id, _ = billed(books, True)
    last = books.served[request_id][-1]
    again = dataclasses.replace(last, server="another", began=last.began + 2)
    books.served = {**books.served, request_id: [*books.served[request_id], again]}


def invent_event(books: Books) -> None:
    books.events["planted"] = [{**billed(books, True)[1], "request_id": "planted"}]


def forget_a_grant(books: Books) -> None:
    """Which was given, and asked for."""
    given = next(grant.op for many in books.grants.values() for grant in many)
    books.asked_grants = [asked for asked in books.asked_grants if asked.op != given]


def say_more_is_left(books: Books) -> None:
    account, left = next(iter(books.left_grants.items()))
    books.left_grants = {**books.left_grants, account: {**left, "planted": 1}}


def destroy_one_record_more(books: Books) -> None:
    writer = next(writer for writer in books.writers.values() if writer.heads)
    later = {partition: (n + 1, crc) for partition, (n, crc) in writer.heads.items()}
    books.destroyed = {**books.destroyed, writer.name: later}


def spoil(pattern: str, change_table: Callable[[dict[str, str]], dict[str, str]]) -> Plant:
    return lambda books: setattr(books, "redis", SpoiledRedis(books.redis, pattern, change_table))


def add_key(pattern: str, key: str, **held: str) -> Plant:
    return lambda books: setattr(books, "redis", RedisWithMore(books.redis, pattern, key, held))


def book_refund_again(books: Books) -> None:
    """A nano, in a run that gave nothing back."""
    amount = next((world.nanos(record["amount"]) for record in books.refund_records.values()), 1)
    add_key("tg:{a??}:refunded", "tg:{a00}:planted", again=str(amount))(books)


def an_expiry(books: Books) -> Any:
    """The first that counts, and took something back."""
    counted = {(step.place.writer, step.place.n) for many in books.grants.values() for grant in many
               for step in grant.counted() if step.nanos}
    return next(record for records in books.grant_records.values() for record in records
                if record["kind"] == "expiry" and (record["writer"], record["an"]) in counted)


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


PLANTED: dict[str, tuple[Check, Plant]] = {
    "an event is missing": (checks.every_end_that_was_seen_is_billed_once,
                            lambda books: books.events.pop(billed(books, True)[0]) and None),
    "an event is there twice": (checks.every_end_that_was_seen_is_billed_once,
                                lambda books: books.events[billed(books, True)[0]].append(billed(books, True)[1])),
    "a whole call is billed a token more": (checks.every_end_that_was_seen_is_billed_once,
                                            lambda books: more_tokens(books, True, 1)),
    "a call that was cut off is billed more than was made": (checks.every_other_call_has_one_resolution,
                                                             lambda books: more_tokens(books, False, 300)),
    "an errand is billed twice": (checks.an_errand_is_done_once, same_errand),
    "a call is served by two model servers": (checks.no_call_is_served_twice, serve_again),
    "a whole call names another server": (checks.every_billed_event_names_the_server_that_served,
                                          lambda books: change(books, True, backend="nobody")),
    "an event is of no call": (checks.no_event_without_a_call, invent_event),
    "an amount is a nano higher": (checks.every_amount_is_the_price_of_its_units, lambda books: change(
        books, True, amount=spell(world.nanos(billed(books, True)[1]["amount"]) + 1))),
    "a credit counts twice": (checks.accounts_add_up, lambda books: books.credits.update({"plenty": 1})),
    "a balance is a nano higher": (checks.accounts_add_up, spoil("tg:{a??}:account:plenty", one_nano_more)),
    "a grant is given that nobody asked for": (grants.grants_are_given_once, forget_a_grant),
    "more of a grant was taken back than was left": (grants.grants_that_end_are_taken_back_once,
                                                     lambda books: change_expiry(books, 1)),
    "less of a grant was taken back than was left": (grants.grants_that_end_are_taken_back_once,
                                                     lambda books: change_expiry(books, -1)),
    "a grant that ended was not taken back": (grants.grants_that_end_are_taken_back_once, drop_expiries),
    "more is said to be left of grants than is": (grants.what_is_left_of_grants_is_said, say_more_is_left),
    "a day's spending is a nano higher": (spending.what_was_spent_in_a_day_is_its_calls, spoil(
        "tg:{a??}:spent:*", lambda table: {name: str(int(value) + (name == "account")) for name, value in table.items()})),
    "a refund counts twice": (checks.refunds_are_recorded_once, book_refund_again),
    "earnings are a nano higher": (checks.creators_earn_what_accounts_pay, spoil("tg:{m??}:gross:*", one_nano_more)),
    "a revoked key of a prepaid account opens": (checks.a_revoked_key_opens_nothing,
                                                 lambda books: revoke_before(books, answered(books, True))),
    "a revoked key of a postpaid account opens beside Redis": (checks.a_revoked_key_opens_nothing,
                                                               lambda books: revoke_before(books, answered(books, False))),
    "a good key is refused": (checks.a_good_key_is_never_refused, lambda books: change_seen(books, status=401, key="nobody")),
    "an earlier certificate is shown": (checks.a_new_certificate_is_shown_from_when_it_is_in_force,
                                        lambda books: change_seen(books, certificate="earlier")),
    "a prepaid balance was below zero": (checks.no_prepaid_balance_was_below_zero,
                                         lambda books: setattr(books, "lowest", {**books.lowest, "plenty": (-1, 0.0)})),
    "a record of a destroyed journal is missing": (checks.destroyed_journals_are_whole_in_the_archive, destroy_one_record_more),
    "a hold is left": (checks.nothing_is_held_or_in_suspense, add_key("tg:{a??}:holds:*", "tg:{a00}:holds:planted")),
    "an account's entry is in suspense": (checks.nothing_is_held_or_in_suspense,
                                          add_key("tg:{a??}:suspense", "tg:{a00}:suspense")),
    "a model's entry is in suspense": (checks.nothing_is_held_or_in_suspense,
                                       add_key("tg:{m??}:suspense", "tg:{m00}:suspense")),
    "a cursor is one behind": (checks.cursors_are_the_heads, spoil("tg:{a??}:cursors", one_behind)),
}


def unseen(books: Books) -> list[str]:
    """The planted errors that the check which is there for them did not see, and the checks that none is planted for."""
    missed = [f"no error is planted for it: {check.__name__}" for check in checks.CHECKS
              if check not in {check for check, _ in PLANTED.values()}]
    for name, (check, plant) in PLANTED.items():
        spoiled = copy.copy(books)
        spoiled.events = {request_id: list(events) for request_id, events in books.events.items()}
        spoiled.credits, spoiled.counts = books.credits.copy(), books.counts.copy()
        spoiled.grant_records = dict(books.grant_records)
        plant(spoiled)
        if not any(True for _ in check(spoiled)):
            missed.append(f"planted, and {check.__name__} did not see it: {name}")
    return missed
