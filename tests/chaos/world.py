"""Who pays, who earns, what is sold: the fixed cast of every run, and what a call costs, computed here once more.

Nothing in this file asks the product: prices are read from the catalogue that it is given, amounts are whole nanos.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .evidence import PARTITIONS, crc32c

NANOS = 10 ** 9
ZONE = ZoneInfo("Asia/Shanghai")        # of periods, and of accounts without one of their own
PARENTS = {"cached_input_tokens": "input_tokens", "reasoning_tokens": "output_tokens"}
PER_ONE = {"call"}


# Model servers, of which each serves every model: weight, priority.
SERVERS = {"first": (3, 0), "second": (2, 0), "spare": (1, 1)}


@dataclass(frozen=True)
class Model:
    """`backend` is what the model servers know it by, and how they behave: upstream.py."""

    name: str
    owners: dict[str, int]
    price: str
    backend: str
    drains: bool = False
    max_output: int = 400


MODELS = [
    Model("ann/solo", {"ann": 1}, "plain", "quick"),
    Model("bob/pair", {"ann": 1, "bob": 2}, "parts", "quick", drains=True),
    Model("cid/trio", {"ann": 1, "bob": 1, "cid": 1}, "odd", "words"),
    Model("bob/long", {"bob": 1}, "plain", "long"),
    Model("cid/drain", {"cid": 3, "ann": 1}, "percall", "long", drains=True),
    Model("ann/wide", {"ann": 1}, "odd", "wide"),
]
SHARES = {"ann": 7000, "bob": 6500, "cid": 8000}
PRICES = {
    "plain": {"input_tokens": "2.00", "output_tokens": "8.00"},
    "parts": {"input_tokens": "3.5", "cached_input_tokens": "0.35", "output_tokens": "14", "reasoning_tokens": "12.5"},
    "odd": {"input_tokens": "0.333333333", "output_tokens": "1.777777777"},
    "percall": {"call": "0.001000001", "input_tokens": "1", "output_tokens": "4.000000001"},
}


@dataclass(frozen=True)
class Account:
    name: str
    is_prepaid: bool
    first_credit: str
    options: tuple[str, ...] = ()
    clients: int = 2
    budgets: tuple[str, ...] = ()       # of one model
    key_options: tuple[str, ...] = ()
    own_zone: str = ""

    @property
    def zone(self) -> ZoneInfo:
        """By whose days and months its budgets go."""
        return ZoneInfo(self.own_zone) if self.own_zone else ZONE


MOVING = "branch"       # whose zone people change, to one of these; where it begins is the first
MOVES = ("America/Los_Angeles", "Pacific/Kiritimati", "Europe/Berlin")

ACCOUNTS = [
    Account("plenty", True, "500"),
    Account("scarce", True, "0.02", clients=3),     # runs dry again and again, and is topped up
    Account("steady", True, "200", clients=3),
    Account("invoice", False, "0", ("--credit-limit", "1000"), clients=3),
    Account("branch", False, "10", ("--credit-limit", "500"), budgets=("--model", "cid/drain", "--budget-day", "0.02"),
            own_zone=MOVES[0]),
    Account("metered", False, "0", ("--credit-limit", "300", "--rpm", "200", "--tpm", "60000", "--budget-month", "0.05"),
            own_zone="Pacific/Kiritimati"),
    Account("narrow", False, "0", ("--credit-limit", "300", "--concurrency", "2"), clients=3,
            key_options=("--budget-day", "0.1")),
]


def nanos(text: str) -> int:
    """A decimal string as nanos, exactly."""
    amount = Decimal(text).scaleb(9)
    assert amount == amount.to_integral_value(), f"{text} has more than nine decimals"
    return int(amount)


def cost(price: str, units: dict[str, int]) -> int:
    """Nanos: the exact sum over all units, rounded half up once."""
    table = PRICES[price]
    millionths = 0
    for unit, count in units.items():
        rate = nanos(table[unit if unit in table else PARENTS[unit]])
        millionths += rate * count * (1_000_000 if unit in PER_ONE else 1)
    return (2 * millionths + 1_000_000) // 2_000_000


def split(total: int, weights: list[int]) -> list[int]:
    """Largest remainder; of equal remainders the earlier one first."""
    whole = sum(weights)
    parts = [total * weight // whole for weight in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in order[:total - sum(parts)]:
        parts[i] += 1
    return parts


def earned(net: dict[str, int]) -> dict[str, int]:
    """Nanos by creator, from those by model: platform and pool by the first owner's contract, the pool by weight."""
    sums = dict.fromkeys(SHARES, 0)
    for model in MODELS:
        owners = sorted(model.owners)
        share = SHARES[owners[0]]
        pool, _ = split(net.get(model.name, 0), [share, 10_000 - share])
        for owner, part in zip(owners, split(pool, [model.owners[owner] for owner in owners]), strict=True):
            sums[owner] += part
    return sums


def with_call(price: str, units: dict[str, int]) -> dict[str, int]:
    """A price per call is due once for every call that owes anything."""
    return {**units, "call": 1} if "call" in PRICES[price] else units


def partition(side: str, name: str) -> str:
    return f"{side}{int(crc32c(name.encode()), 16) % PARTITIONS:02}"


def partitions() -> list[str]:
    """Those that the accounts and models of this file stand in."""
    return sorted({*(partition("a", account.name) for account in ACCOUNTS), *(partition("m", model.name) for model in MODELS)})


def account_key(name: str) -> str:
    return f"tg:{{{partition('a', name)}}}:account:{name}"


BY_NAME = {model.name: model for model in MODELS}
ACCOUNT_BY_NAME = {account.name: account for account in ACCOUNTS}


def month_end(now: datetime) -> datetime:
    return (now.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def write_catalogue(path: Path) -> Path:
    catalogue: dict[str, Any] = {
        "currency": "CNY",
        "creators": [{"id": name, "name": name.title(), "contract": {"share_bp": share, "from": "2026-01-01"}}
                     for name, share in SHARES.items()],
        "prices": [{"id": name, "from": "2026-01-01T00:00:00Z", "units": units} for name, units in PRICES.items()],
        "models": [{
            "id": model.name, "owners": [{"creator": name, "weight": weight} for name, weight in model.owners.items()],
            "surfaces": ["chat"], "price": model.price, "max_output_tokens": model.max_output,
            "on_disconnect": "drain" if model.drains else "cancel",
            "backends": [{"name": name, "model": model.backend, "weight": weight, "priority": priority}
                         for name, (weight, priority) in SERVERS.items()],
        } for model in MODELS],
    }
    path.write_text(json.dumps(catalogue, indent=1))
    return path
