"""Grants that end, counted once more by the rule of billing/scripts/README.md, "Grants commute": what of each was left when
it was taken back, and what is left of those that have not ended. In whole nanos, from the archive's records alone.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import world

if TYPE_CHECKING:
    from .books import Books

UNSEEN_MAX = 3      # records of others that the console which decided may not have known yet


@dataclass(frozen=True, order=True)
class Place:
    """Which of two records of one thing counts: the earlier."""

    at: datetime
    writer: str
    n: int


@dataclass(frozen=True)
class Step:
    place: Place
    nanos: int
    taken: int      # by steps before it
    left: int       # to be taken yet
    spent: int      # what the account's calls had cost when it was decided


@dataclass
class Grant:
    op: str
    place: Place
    nanos: int
    spent: int
    expires: datetime
    steps: list[Step] = field(default_factory=list)

    @property
    def turn(self) -> tuple[Any, ...]:
        """In which grants are used."""
        return self.expires, self.place.at, self.op

    def counted(self) -> list[Step]:
        """Each begins where the one before it ended; of those that begin at one place, the earliest."""
        chain, taken = [], 0
        while following := [step for step in self.steps if step.taken == taken]:
            step = min(following, key=lambda step: step.place)
            chain.append(step)
            taken += self.takes(step)
            if step.left == 0 or taken == self.nanos:
                break
        return chain

    def takes(self, step: Step) -> int:
        return min(step.nanos, self.nanos - step.taken)

    def taken(self) -> int:
        return sum(map(self.takes, self.counted()))

    def is_over(self) -> bool:
        chain = self.counted()
        return bool(chain) and (chain[-1].left == 0 or self.taken() == self.nanos)


def place_of(record: Any) -> Place:
    return Place(datetime.fromisoformat(record["at"]), record["writer"], record["an"])


def read(records: Iterable[Any]) -> list[Grant]:
    """Of one account's records: each operation of a grant once, the earliest, with all steps that name it."""
    firsts: dict[str, Grant] = {}
    steps: dict[str, list[Step]] = defaultdict(list)
    for record in records:
        place, nanos, spent = place_of(record), world.nanos(record["amount"]), world.nanos(record["spent"])
        if record["kind"] == "grant":
            grant = Grant(record["op"], place, nanos, spent, datetime.fromisoformat(record["expires_at"]))
            firsts[grant.op] = min(firsts.get(grant.op, grant), grant, key=lambda one: one.place)
        else:
            steps[record["op"]].append(Step(place, nanos, world.nanos(record["taken"]), world.nanos(record["left"]), spent))
    for op, grant in firsts.items():
        grant.steps = steps.get(op, [])
    return list(firsts.values())


def left_of(grants: list[Grant], spent: int) -> dict[str, int]:
    """What is left of each when the account's calls have cost so much: between two points the cost is paid by the grants
    there are, in their order. At one point grants are given first, then taken back."""
    points = []
    for grant in grants:
        points.append((grant.spent, 0, grant.turn, grant, grant.nanos))
        chain = grant.counted()
        for number, step in enumerate(chain, 1):
            is_last = step is chain[-1] and grant.is_over()
            points.append((max(step.spent, grant.spent), number, grant.turn, grant,
                           -grant.nanos if is_last else -grant.takes(step)))
    left: dict[str, int] = {}
    order = sorted(grants, key=lambda one: one.turn)
    passed = 0
    for point, _, _, grant, change in [*sorted(points, key=lambda one: one[:3]), (spent, 0, (), None, 0)]:
        passed = use(left, order, passed, min(point, spent))
        if grant:
            left[grant.op] = max(0, left.get(grant.op, 0) + change)
    return left


def use(left: dict[str, int], order: list[Grant], passed: int, upto: int) -> int:
    rest = max(0, upto - passed)
    for grant in order:
        used = min(left.get(grant.op, 0), rest)
        if used:
            left[grant.op] -= used
            rest -= used
    return max(passed, upto)


def unseen_of(records: list[Any], grant: Grant, step: Step) -> int | None:
    """How many records of others the console had not known that decided this step rightly; None: it is not right by
    whatever it knew."""
    for count, known in views(records, grant, step):
        if step.nanos + step.left == left_of(read(known), step.spent).get(grant.op, 0):
            return count
    return None


def views(records: list[Any], grant: Grant, step: Step) -> Iterator[tuple[int, list[Any]]]:
    """What the console may have known: of its own records all before this one, of each other's all but the last few, for
    Redis gets a writer's records in their order. Everything comes first; and how many are left out."""
    others: dict[str, list[int]] = defaultdict(list)
    for record in records:
        if record["writer"] != step.place.writer and world.nanos(record["spent"]) <= step.spent:
            others[record["writer"]].append(record["an"])
    last_first = {writer: sorted(numbers, reverse=True) for writer, numbers in others.items()}
    for count in range(UNSEEN_MAX + 1):
        for unseen in itertools.combinations_with_replacement(sorted(last_first), count):
            ends = {writer: last_first[writer][:unseen.count(writer)][-1] for writer in unseen}
            ends[step.place.writer] = step.place.n
            yield count, [record for record in records
                          if record["an"] < ends.get(record["writer"], record["an"] + 1)
                          and not follows(record, grant, step)]


def follows(record: Any, grant: Grant, step: Step) -> bool:
    """It begins where this step began, or later."""
    return record["kind"] == "expiry" and record["op"] == grant.op and world.nanos(record["taken"]) >= step.taken


# --- the checks

def grants_are_given_once(books: Books) -> Iterator[str]:
    """What was asked for is in the archive, as it was asked for; what was always refused is not."""
    found = {(account, grant.op): grant for account, grants in books.grants.items() for grant in grants}
    for asked in books.asked_grants:
        grant = found.pop((asked.account, asked.op), None)
        if asked.done and not grant:
            yield f"{asked.op}: it was given, and the archive does not know it"
        elif grant and not asked.may_be_done:
            yield f"{asked.op}: it was refused, and the archive has it"
        elif grant and (grant.nanos, grant.expires.timestamp()) != (asked.amount, asked.ends):
            yield f"{asked.op}: asked for {asked.amount} until {asked.ends}, given {grant.nanos} until {grant.expires}"
    for account, op in found:
        yield f"account {account}: nobody asked for grant {op}"
    books.counts["grants"] = sum(map(len, books.grants.values()))


def grants_that_end_are_taken_back_once(books: Books) -> Iterator[str]:
    """Each step takes what was left, or leaves it for later; together what is unspent, never more; nothing before its end."""
    for account, grants in books.grants.items():
        for grant in grants:
            for step in grant.counted():
                if step.place.at < grant.expires:
                    yield f"{grant.op}: it ends at {grant.expires}, and was taken back at {step.place.at}"
                unseen = unseen_of(books.grant_records[account], grant, step)
                if unseen is None:
                    yield (f"{grant.op}: {step.nanos} taken back and {step.left} to be taken yet when calls had cost "
                           f"{step.spent}; by the records it is {left_of(grants, step.spent).get(grant.op)}")
                books.counts["steps that took a grant back"] += 1
                books.counts["steps decided before another host's records were known"] += bool(unseen)
            if grant.taken() > grant.nanos:
                yield f"{grant.op}: {grant.nanos} given, {grant.taken()} taken back"
            if grant.expires.timestamp() < books.closed_at and not grant.is_over():
                yield f"{grant.op}: it ended at {grant.expires}, and something of it is left"
            books.counts["grants that ended"] += grant.is_over()
            books.counts["grants that ended unspent in part"] += grant.is_over() and grant.taken() > 0
        known = {(record["writer"], record["an"]) for record in books.grant_records[account]}
        if len(known) != len(books.grant_records[account]):
            yield f"account {account}: a record of a grant is there twice"


def what_is_left_of_grants_is_said(books: Books) -> Iterator[str]:
    """`account show`, once all was quiet."""
    debits, by_account = books.debits, books.grants_in(books.period)
    for account, said in books.left_grants.items():
        grants = by_account.get(account, [])
        left = left_of(grants, debits[account])
        due = {grant.op: left[grant.op] for grant in grants if not grant.is_over()}
        if said != due:
            yield f"account {account}: left of its grants is {due}, and it says {said}"
