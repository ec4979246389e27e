"""Amounts computed a second time, from the price alone and in decimal, so that the gateway's arithmetic is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

EXACT = Context(prec=60)
NANO = Decimal("0.000000001")
PARENTS = {"cached_input_tokens": "input_tokens", "cache_write_tokens": "input_tokens",
           "reasoning_tokens": "output_tokens", "audio_input_tokens": "input_tokens"}
PER_ONE = {"call"}


def rate(price: Mapping[str, str], units: Mapping[str, int]) -> Decimal:
    """What the units cost: the exact sum, rounded half up to nanos once."""
    total = Decimal(0)
    for unit, count in units.items():
        priced = unit if unit in price else PARENTS[unit]
        total = EXACT.add(total, EXACT.divide(Decimal(price[priced]) * count, Decimal(1 if unit in PER_ONE else 1000000)))
    return total.quantize(NANO, ROUND_HALF_UP, EXACT)


def total(events: Iterable[Mapping[str, Any]]) -> Decimal:
    return sum((Decimal(event["amount"]) for event in events), Decimal(0))


def share(gross: Decimal, share_bp: int = 7000) -> Decimal:
    """A sole owner's part of a total: the largest remainder gives it the odd nano when its own remainder is larger."""
    nanos = int(gross.scaleb(9))
    owned, remainder = divmod(nanos * share_bp, 10000)
    if remainder > 10000 - remainder or remainder * 2 == 10000:
        owned += 1
    return Decimal(owned).scaleb(-9, EXACT)


def spelled(amount: Decimal) -> str:
    """The shortest decimal string, as the gateway writes amounts."""
    text = format(amount.normalize(EXACT), "f")
    return "0" if text in ("-0", "0") else text
