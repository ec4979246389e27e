"""What an account and a key may spend in a day and a month: never overshot, told truly, the same after a rebuild."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tollgate import Gateway, Served, wait_until
from wire import Reply

PRICES = {"dime": {"call": "0.10", "input_tokens": "0", "output_tokens": "0"}}
CALL = {"model": "demo/fast", "messages": [{"role": "user", "content": "a b c"}], "max_completion_tokens": 10}
CALLS = 1000
SHANGHAI = timezone(timedelta(hours=8))


@pytest.fixture(scope="module")
def pair(serve_for_module: Callable[[str], Served]) -> Iterator[tuple[Served, Served]]:
    """Two hosts on one Redis and one archive."""
    first, second = serve_for_module("first"), serve_for_module("second")
    first.backends = {"fast": {"kind": "echo"}, "slow": {"kind": "echo", "delay": "1 s"}}
    first.start().set_up("1", [{"id": f"demo/{name}", "price": "dime", "backends": [{"name": backend}]}
                               for name, backend in (("fast", "fast"), ("other", "fast"), ("slow", "slow"))], PRICES)
    second.join(first).serve().wait_ready()
    yield first, second
    second.stop()


def ask(host: Gateway, key: str, calls: int = 1, model: str = "demo/fast") -> list[Reply]:
    with host.wire(key, 120) as wire:
        return [wire.ask(wire.chat({**CALL, "model": model})) for _ in range(calls)]


def check_refused(reply: Reply, window: str, budget: str) -> None:
    assert reply.status == 429 and reply.error["code"] == "insufficient_quota", reply
    assert reply.headers["x-tollgate-code"] == "policy_budget" and reply.headers["x-should-retry"] == "false"
    assert f"{budget} CNY a {window}" in reply.error["message"], reply.error


def seconds_left(window: str) -> float:
    """Of the day or month in the platform's zone."""
    now = datetime.now(SHANGHAI)
    begun = now.replace(hour=0, minute=0, second=0, microsecond=0)
    ends = begun + timedelta(days=1) if window == "day" else (begun.replace(day=1) + timedelta(days=32)).replace(day=1)
    return (ends - now).total_seconds()


@pytest.mark.parametrize(("window", "of_model"), [("day", ()), ("month", ("--model", "demo/fast"))])
def test_a_thousand_calls_at_once_never_pass_a_budget(pair: tuple[Served, Served], window: str, of_model: tuple[str, ...]) -> None:
    first, _ = pair
    account, key = first.new_account("1000", "--prepaid")
    first.cli("account", "limit", account, f"--budget-{window}", "2.35", *of_model)
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(ask, pair[i % 2], key, CALLS // 20) for i in range(20)]
    replies = [reply for one in asked for reply in one.result()]
    assert Counter(reply.status for reply in replies) == {200: 23, 429: CALLS - 23}
    first.settle_down(account)
    assert first.balance(account) == Decimal("1000") - Decimal("2.30")
    (last,) = ask(first, key)
    check_refused(last, window, "2.35")
    assert "0.05 CNY are left, and this call may cost up to 0.1 CNY; the " in last.error["message"], "no cap makes it cheaper"
    assert abs(int(last.headers["retry-after"]) - seconds_left(window)) < 120
    assert ("on demo/fast" in last.error["message"]) == bool(of_model)
    assert ask(first, key, model="demo/other")[0].status == (200 if of_model else 429)


def test_a_budget_for_one_model_is_shown_changed_and_taken_away(pair: tuple[Served, Served]) -> None:
    first, second = pair
    account, key = first.new_account("1000", "--prepaid", "--budget-day", "5")
    first.cli("account", "limit", account, "--model", "demo/fast", "--budget-day", "0.20")
    first.cli("account", "limit", account, "--model", "demo/fast", "--budget-month", "3")
    first.cli("account", "limit", account, "--model", "demo/other", "--budget-month", "1")
    shown = first.account_state(account)
    assert (shown["budget_day"], shown["budget_month"]) == ("5", "0")
    assert shown["models"] == [{"model": "demo/fast", "budget_day": "0.2", "budget_month": "3"},
                               {"model": "demo/other", "budget_day": "0", "budget_month": "1"}]
    assert [reply.status for reply in ask(second, key, 3)] == [200, 200, 429]
    first.cli("account", "limit", account, "--model", "demo/fast", "--budget-day", "0")
    first.cli("account", "limit", account, "--model", "demo/other", "--budget-month", "0")
    assert first.account_state(account)["models"] == [{"model": "demo/fast", "budget_day": "0", "budget_month": "3"}]
    assert ask(second, key)[0].status == 200


def test_a_keys_budget_is_its_own_and_stands_beside_its_accounts(pair: tuple[Served, Served]) -> None:
    first, second = pair
    account, free = first.new_account("1000", "--prepaid", "--budget-day", "0.50")
    made = first.cli_one("key", "create", account, "--budget-day", "0.20")
    narrow = made["secret"]
    assert [reply.status for reply in ask(second, narrow, 3)] == [200, 200, 429]
    check_refused(ask(first, narrow)[0], "day", "0.2")
    assert [reply.status for reply in ask(first, free, 4)] == [200, 200, 200, 429]
    first.cli("key", "limit", made["public_id"], "--budget-day", "0")
    (reply,) = ask(first, narrow)
    check_refused(reply, "day", "0.5")
    assert "account" in reply.error["message"]


def test_a_budget_counts_what_was_spent_before_it_and_holds_at_the_next_call(pair: tuple[Served, Served]) -> None:
    first, second = pair
    account, key = first.new_account("1000", "--prepaid")
    assert [reply.status for reply in ask(first, key, 3)] == [200, 200, 200]
    first.settle_down(account)
    first.cli("account", "limit", account, "--budget-month", "0.40")
    assert [reply.status for reply in ask(second, key, 2)] == [200, 429]
    first.cli("account", "limit", account, "--budget-month", "0")
    assert first.account_state(account)["budget_month"] == "0"
    assert [reply.status for reply in ask(second, key, 2)] == [200, 200]


def test_a_rebuild_leaves_nothing_of_a_budget_to_be_spent_again(pair: tuple[Served, Served]) -> None:
    first, second = pair
    account, key = first.new_account("1000", "--prepaid")
    first.cli("account", "limit", account, "--model", "demo/fast", "--budget-day", "0.30")
    assert [reply.status for reply in ask(first, key, 4)] == [200, 200, 200, 429]
    first.settle_down(account)
    first.cli("journal", "rebuild", "--from-zero")
    for host in pair:
        host.wait_ready()
        wait_until(lambda host=host: ask(host, key)[0].status != 503, "the account's partition admits again")
        assert {ask(host, key)[0].status for _ in range(6)} == {429}


def test_the_balance_shows_what_the_next_calls_may_cost_and_when_that_begins_anew(pair: tuple[Served, Served]) -> None:
    first, second = pair
    account, _ = first.new_account("1000", "--prepaid", "--budget-month", "0.65")
    made = first.cli_one("key", "create", account, "--budget-day", "0.45")
    assert [reply.status for reply in ask(first, made["secret"], 2)] == [200, 200]
    first.settle_down(account)
    rotated = first.cli_one("key", "rotate", made["public_id"])
    for host, key in ((first, made["secret"]), (second, rotated["secret"])):
        of_account, of_key = host.get("/v1/balance", key)["budgets"]
        assert {name: of_key[name] for name in ("of", "window", "limit", "spent", "held", "left")} == \
            {"of": "key", "window": "day", "limit": "0.45", "spent": "0.2", "held": "0", "left": "0.25"}
        assert (of_account["of"], of_account["window"], of_account["left"]) == ("account", "month", "0.45")
        for budget in (of_account, of_key):
            ends = datetime.fromisoformat(budget["ends_at"])
            assert abs((ends - datetime.now(timezone.utc)).total_seconds() - seconds_left(budget["window"])) < 120
    assert [reply.status for reply in ask(second, rotated["secret"], 3)] == [200, 200, 429], "0.25 is two calls of 0.10"


def sums(budget: dict[str, str]) -> tuple[str, ...]:
    return tuple(budget[name] for name in ("window", "limit", "spent", "held", "left"))


def test_the_balance_shows_what_the_account_may_spend_on_single_models(pair: tuple[Served, Served]) -> None:
    first, second = pair
    account, key = first.new_account("1000", "--prepaid", "--budget-day", "9")
    narrow = first.cli_one("key", "create", account, "--models", "demo/other")["secret"]
    first.cli("account", "limit", account, "--model", "demo/slow", "--budget-day", "0.15")
    first.cli("account", "limit", account, "--model", "demo/fast", "--budget-day", "0.30", "--budget-month", "4")
    first.cli("account", "limit", account, "--model", "demo/other", "--budget-day", "1")
    first.cli("account", "limit", account, "--model", "demo/other", "--budget-day", "0")
    assert [reply.status for reply in ask(first, key, 2)] == [200, 200]
    first.settle_down(account)
    open_call = {**CALL, "model": "demo/slow", "stream": True, "max_completion_tokens": 600,
                 "messages": [{"role": "user", "content": "a " * 600}]}
    with first.wire(key, 120) as wire:
        wire.send(wire.chat(open_call))
        next(wire.stream(Reply()))
        for host, secret in ((first, key), (second, narrow)):
            of_account, *of_models = host.get("/v1/balance", secret)["budgets"]
            assert (of_account["of"], *sums(of_account)) == ("account", "day", "9", "0.2", "0.1", "8.7")
            assert "model" not in of_account
            assert [(one["of"], one["model"], *sums(one)) for one in of_models] == [
                ("model", "demo/fast", "day", "0.3", "0.2", "0", "0.1"),
                ("model", "demo/fast", "month", "4", "0.2", "0", "3.8"),
                ("model", "demo/slow", "day", "0.15", "0", "0.1", "0.05")]
            ends = datetime.fromisoformat(of_models[1]["ends_at"])
            assert abs((ends - datetime.now(timezone.utc)).total_seconds() - seconds_left("month")) < 120
    first.settle_down(account)
    assert sums(first.get("/v1/balance", key)["budgets"][3]) == ("day", "0.15", "0.1", "0", "0.05")
    assert ask(second, key, model="demo/slow")[0].status == 429


def test_what_is_no_budget_is_refused(pair: tuple[Served, Served]) -> None:
    first, _ = pair
    account, _ = first.new_account("1", "--prepaid")
    assert "negative" in first.refused("account", "limit", account, "--budget-day", "-1")
    assert "no model 'demo/none'" in first.refused("account", "limit", account, "--model", "demo/none", "--budget-day", "1")
    assert "--budget-day" in first.refused("account", "limit", account, "--model", "demo/fast", code=2)
    assert "rpm" in first.refused("account", "limit", account, "--model", "demo/fast", "--rpm", "1", "--budget-day", "1")
    assert "no calls" in first.refused("key", "create", "demo", "--creator", "--budget-day", "1")
