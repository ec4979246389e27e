"""What the clients saw against what was booked: calls, debits, the creator's gross, receipts."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import money
from tollgate import DEMO_PRICE, Served, run

from .clients import Seen


@dataclass
class Books:
    """Everything that is compared, after all calls have ended and all records are in Redis."""

    seen: list[Seen]
    events: dict[str, list[Any]]            # by account
    debits: dict[str, Decimal]              # by account: credits less balance
    gross: Decimal                          # of the creator, all months
    receipts: dict[str, Any]                # by request id, each proved genuine


def read(gateway: Served, accounts: dict[str, str], credits: dict[str, Decimal], seen: list[Seen]) -> Books:
    """`accounts` are ids with a key of each."""
    for account in accounts:
        gateway.settle_down(account)
    events = {account: gateway.events(account) for account in accounts}
    periods = {event["period"] for listed in events.values() for event in listed}
    earned = [currency for period in periods
              for currency in gateway.cli_one("creator", "show", "demo", "--period", period)["currencies"]]
    return Books(seen, events, {account: credits[account] - gateway.balance(account) for account in accounts},
                 sum((Decimal(currency["gross"]) for currency in earned), Decimal(0)),
                 {one.request_id: fetch_receipt(gateway, one, accounts[one.account]) for one in seen})


def fetch_receipt(gateway: Served, seen: Seen, key: str) -> Any:
    """The receipt as its client fetches it, and as the program proves it; None when there is none or it is wrong."""
    status, receipt = gateway.try_get(f"/v1/usage/{seen.request_id}/receipt", key)
    if status != 200:
        return None
    file = Path(gateway.state.parent / "receipt")
    file.write_text(receipt if isinstance(receipt, str) else json.dumps(receipt))
    done = run("receipt", "verify", str(file), "--json", config=gateway.config)
    return json.loads(done.stdout) if done.returncode == 0 else None


def wrongs(books: Books) -> list[str]:
    """Every difference, to the nano; nothing when the books are right."""
    found = []
    for account, events in books.events.items():
        seen = {one.request_id: one for one in books.seen if one.account == account}
        found += [f"{account}: {one} was answered and not billed" for one in seen.keys() - {e["request_id"] for e in events}]
        found += [f"{account}: {e['request_id']} was billed ({e['outcome']}) and nobody saw it" for e in events
                  if e["request_id"] not in seen]
        found += [line for e in events if e["request_id"] in seen for line in wrong_of(e, seen[e["request_id"]],
                                                                                       books.receipts[e["request_id"]])]
        owed = sum((cost(one) for one in seen.values()), Decimal(0))
        if books.debits[account] != owed:
            found.append(f"{account} was debited {books.debits[account]}, its clients saw usage for {owed}")
    total = sum((cost(one) for one in books.seen), Decimal(0))
    if books.gross != total:
        found.append(f"the creator's gross is {books.gross}, clients saw usage for {total}")
    return found


def cost(seen: Seen) -> Decimal:
    return money.rate(DEMO_PRICE, seen.units)


def wrong_of(event: Any, seen: Seen, receipt: Any) -> list[str]:
    said = {unit: count for unit, count in seen.units.items() if count}
    claims = {
        "the event's outcome": (event["outcome"], "complete"),
        "the event's units": ({unit: count for unit, count in event["units"].items() if count}, said),
        "the event's amount": (Decimal(event["amount"]), cost(seen)),
        "x-tollgate-cost": (seen.cost or event["amount"], event["amount"]),
        "the receipt": (receipt and (receipt["amount"], receipt["units"], receipt["account"]),
                        (event["amount"], event["units"], seen.account)),
    }
    return [f"{seen.request_id}: {what} is {is_}, not {should}" for what, (is_, should) in claims.items() if is_ != should]


# --- that a difference would have been seen


def lose_an_event(books: Books) -> None:
    max(books.events.values(), key=len).pop()


def add_a_nano(books: Books) -> None:
    books.debits[next(iter(books.debits))] += money.NANO


def take_a_nano_from_the_creator(books: Books) -> None:
    books.gross -= money.NANO


def count_a_token_more(books: Books) -> None:
    books.seen[0] = dataclasses.replace(books.seen[0], units={**books.seen[0].units, "output_tokens": 9999})


def lose_a_receipt(books: Books) -> None:
    books.receipts[books.seen[0].request_id] = None


PLANTED: tuple[Callable[[Books], None], ...] = (
    lose_an_event, add_a_nano, take_a_nano_from_the_creator, count_a_token_more, lose_a_receipt)


def blind_spots(books: Books) -> list[str]:
    """The planted errors that wrongs() does not see: none, or the comparison is worth nothing."""
    blind = []
    for plant in PLANTED:
        spoilt = copy.deepcopy(books)
        plant(spoilt)
        if not wrongs(spoilt):
            blind.append(f"{plant.__name__} was planted and not seen")
    return blind
