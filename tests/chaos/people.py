"""Those who change things while calls run: top-ups and refunds whose operation is repeated on purpose, keys made anew."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tollgate import run

from . import world
from .clients import Client, Seen
from .stack import Stack


TIME = "%Y-%m-%dT%H:%M:%SZ"
FAR_SECONDS = 5_000_000_000


@dataclass
class Operation:
    """One thing that was asked for under one id, however often and wherever."""

    op: str
    words: tuple[str, ...]
    account: str
    amount: int = 0             # nanos, of a credit or a refund
    ends: float = 0.0           # of a grant: wall clock
    asked: int = 0
    done: int = 0               # attempts that succeeded
    refused: int = 0            # attempts that came after its end
    said: list[str] = field(default_factory=list)

    @property
    def may_be_done(self) -> bool:
        """Also by an attempt of which nobody heard the end."""
        return self.done > 0 or self.asked > self.refused

    @property
    def is_too_late(self) -> bool:
        """A grant that was not given before it ended is never given."""
        return 0 < self.ends < time.time()


class People(threading.Thread):
    """One pair of hands, at both consoles in turn."""

    def __init__(self, stack: Stack, clients: list[Client], over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.stack, self.over = stack, over
        self.clients = clients
        self.draw = random.Random(f"{stack.seed}/people")
        self.operations: list[Operation] = []
        self.refunded: set[str] = set()             # request ids
        self.revoking: dict[str, float] = {}        # public id -> when it was asked for
        self.revoked: dict[str, float] = {}         # and when the command had succeeded
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()
        now = datetime.now(world.ZONE)
        self.over_the_month = int((world.month_end(now) - now).total_seconds()) + 3600
        for account in world.ACCOUNTS:
            if world.nanos(account.first_credit):
                self._credit(account.name, account.first_credit)

    def run(self) -> None:
        for operation in self.operations:       # the first credits
            self._insist(operation)
        self._do(self._grant("plenty", "0.123456789", 20))
        while not self.over.wait(self.draw.uniform(0.3, 2.0)):
            what = self.draw.choices([self.top_up, self.correct, self.change_key, self.refund, self.adjust, self.grant,
                                       self.change_budget, self.change_zone], [10, 1, 2, 5, 2, 6, 2, 2])[0]
            try:
                what()
            except Exception as error:      # noqa: BLE001 - a finding
                self.failures.append(f"{what.__name__}: {error!r}")

    # --- what they do

    def top_up(self) -> None:
        account = self.draw.choice(["scarce", "scarce", "scarce", "plenty", "steady", "branch"])
        nanos = self.draw.randint(500_000, 5_000_001)
        self._do(self._credit(account, spell(nanos)))

    def correct(self) -> None:
        self._do(self._credit("plenty", "-" + spell(self.draw.randint(1, 999_999))))

    def adjust(self) -> None:
        self._do(self._money("adjust", "plenty", "-" * self.draw.randint(0, 1) + spell(self.draw.randint(1, 999_999))))

    def grant(self) -> None:
        """Most end within a minute, some spent by then and some not, a few when the month is over; one that comes after its end
        is refused."""
        account = self.draw.choice(["plenty", "steady", "branch", "scarce", "invoice"])
        amount = spell(self.draw.choice([1, 1_000, 1_000_000]) * self.draw.randint(1, 999))
        self._do(self._grant(account, amount, self.draw.choice([3, 5, 10, 20, 60, self.over_the_month, FAR_SECONDS])))

    def change_budget(self) -> None:
        self._do(self._operation(("account", "limit", "metered", "--budget-month", spell(self.draw.randint(1, 500) * 1_000_000)),
                                 "metered", f"b{len(self.operations)}"))

    def change_zone(self) -> None:
        zone = self.draw.choice([*world.MOVES, "none"])
        self._do(self._operation(("account", "limit", world.MOVING, "--zone", zone), world.MOVING, f"z{len(self.operations)}"))

    def change_key(self) -> None:
        """The client learns of its new key only after the old one was revoked, as people do it."""
        client = self.draw.choice(self.clients)
        old = client.key.split("-")[2]
        self.revoking[old] = time.time()
        number = len(self.operations)
        revoke = self._operation(("key", "revoke", old), client.account, f"r{number}")
        make = self._operation(("key", "create", client.account, *world.ACCOUNT_BY_NAME[client.account].key_options),
                               client.account, f"k{number}")
        self.stack.creations[make.op] = time.time()
        said = self._insist(revoke)
        if said is not None and "written" not in said:
            self.revoked[old] = time.time()
        self.over.wait(self.draw.uniform(0.2, 1.0))
        if self._insist(make) is not None:
            client.key = make.said[-1]
            del self.stack.creations[make.op]

    def refund(self) -> None:
        """All of a call that it still knows the cost of, or a third; each call once. More than it cost is refused."""
        client = self.draw.choice(self.clients)
        calls = [seen for seen in client.calls[-200:] if seen.saw_end and seen.cost not in ("", "0")
                 and seen.request_id not in self.refunded and seen.ended < time.time() - 2]
        if not calls:
            return
        seen = self.draw.choice(calls)
        cost = world.nanos(seen.cost)
        self.refunded.add(seen.request_id)
        if self.draw.random() < 0.2:
            self._ask_too_much(seen, cost)
            return
        is_whole = self.draw.random() < 0.5
        amount = cost if is_whole else max(1, cost // 3)
        operation = self._operation(("usage", "refund", seen.request_id, *(() if is_whole else (spell(amount),)),
                                     "--reason", "chaos"), client.account, f"f{len(self.operations)}")
        operation.amount = amount
        self._do(operation)

    def _ask_too_much(self, seen: Seen, cost: int) -> None:
        config = self.stack.instances[self.draw.choice(list(self.stack.instances))].config
        done = run("usage", "refund", seen.request_id, spell(cost + 1), "--reason", "chaos", config=config, timeout=120)
        self.counts["usage refund above the call"] += 1
        if done.returncode == 0:
            self.failures.append(f"{seen.request_id} cost {seen.cost}, and one nano more was refunded")

    # --- how they do it

    def _grant(self, account: str, amount: str, seconds: int) -> Operation:
        ends = int(time.time()) + seconds
        operation = self._money("grant", account, amount, "--expires", datetime.fromtimestamp(ends, UTC).strftime(TIME))
        operation.ends = ends
        return operation

    def _credit(self, account: str, amount: str) -> Operation:
        return self._money("credit", account, amount)

    def _money(self, verb: str, account: str, amount: str, *more: str) -> Operation:
        operation = self._operation(("account", verb, account, amount, "--reason", "chaos", *more), account,
                                    f"c{len(self.operations)}")
        operation.amount = world.nanos(amount)
        return operation

    def _operation(self, words: tuple[str, ...], account: str, name: str) -> Operation:
        operation = Operation(f"op_{self.stack.seed}_{name}", words, account)
        self.operations.append(operation)
        return operation

    def _do(self, operation: Operation) -> None:
        """Once, and often once more: at the same console or at the other, at once or at the same time."""
        places = [self.draw.choice(list(self.stack.instances)) for _ in range(self.draw.choice([1, 1, 2, 2, 3]))]
        if self.draw.random() < 0.3:
            threads = [threading.Thread(target=self._ask, args=(operation, place)) for place in places]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        else:
            for place in places:
                self._ask(operation, place)

    def _insist(self, operation: Operation, tries: int = 60) -> str | None:
        """Until it is done; what was said on stderr."""
        places = list(self.stack.instances)
        for number in range(tries):
            said = self._ask(operation, places[number % len(places)])
            if said is not None:
                return said
            if self.over.wait(0.5) and number > 20:
                break
        return None

    def _ask(self, operation: Operation, place: str) -> str | None:
        operation.asked += 1
        done = run(*operation.words, "--op", operation.op, config=self.stack.instances[place].config, timeout=120)
        self.counts[" ".join(operation.words[:2])] += 1
        if done.returncode != 0:
            operation.refused += "not in the future" in done.stderr
            return None
        operation.done += 1
        operation.said.append(done.stdout.strip())
        return done.stderr

    def finish(self) -> list[str]:
        """Everything that was ever asked for gets done, now that all is well; what could not be. Of a call that was lost
        with its journal nothing can be given back."""
        self.operations = [operation for operation in self.operations
                           if operation.done or operation.words[2] not in self.stack.lost | self.stack.in_doubt]
        left = [operation for operation in self.operations if not operation.done and not operation.is_too_late]
        deadline = time.monotonic() + 90
        for operation in left:
            if time.monotonic() < deadline:
                self._insist(operation)
        return [f"{operation.op}: {' '.join(operation.words)} could not be done" for operation in left
                if not operation.done and not operation.is_too_late]

    def sums(self, *verbs: str) -> Counter[str]:
        """Nanos by account: every operation of these names once."""
        sums: Counter[str] = Counter()
        for operation in self.operations:
            if operation.words[1] in verbs:
                sums[operation.account] += operation.amount
        return sums


def spell(nanos: int) -> str:
    return f"{nanos // world.NANOS}.{nanos % world.NANOS:09}"
