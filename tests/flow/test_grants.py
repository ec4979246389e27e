"""Money that no call moves, besides top-ups: adjustments of a balance."""

from __future__ import annotations

import secrets
from decimal import Decimal

import pytest

from tollgate import Dev


def new_op() -> str:
    return f"op-{secrets.token_hex(6)}"


def test_an_adjustment_puts_a_balance_right_once_and_says_why(gateway: Dev) -> None:
    account, _ = gateway.new_account("1")
    op = new_op()
    for _ in range(2):
        booked = gateway.cli_one("account", "adjust", account, "-0.25", "--reason", "paid twice", "--op", op)
        assert (booked["amount"], booked["reason"], booked["currency"]) == ("-0.25", "paid twice", "CNY")
    assert gateway.balance(account) == Decimal("0.75")
    gateway.cli("account", "adjust", account, "0.000000001", "--reason", "a nano")
    assert gateway.balance(account) == Decimal("0.750000001")


@pytest.mark.parametrize("first, second", [("adjust", "credit"), ("credit", "adjust")])
def test_an_operation_id_is_never_taken_for_another_change(gateway: Dev, first: str, second: str) -> None:
    account, _ = gateway.new_account("1")
    op = new_op()
    gateway.cli("account", first, account, "2", "--reason", "first", "--op", op)
    assert f"as {first} with the amount 2" in gateway.refused("account", second, account, "2", "--reason", "x", "--op", op)
    assert f"as {first} with the amount 2" in gateway.refused("account", first, account, "3", "--reason", "x", "--op", op)
    assert gateway.balance(account) == Decimal(3)


def test_an_adjustment_without_a_reason_is_refused(gateway: Dev) -> None:
    account, _ = gateway.new_account("1")
    assert "--reason" in gateway.refused("account", "adjust", account, "1", code=2)
    assert "'reason' must say why" in gateway.refused("account", "adjust", account, "1", "--reason", " ")
    assert "zero" in gateway.refused("account", "adjust", account, "0", "--reason", "x")
    assert "nobody" in gateway.refused("account", "adjust", "nobody", "1", "--reason", "x")
    assert gateway.balance(account) == Decimal(1)
