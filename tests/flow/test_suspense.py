"""What could not be booked is shown with its record, keeps the month open, and is resolved by a record of its own."""

from __future__ import annotations

import money
from redis_dump import canonical_dump, differences
from test_rebuild import partition_of
from tollgate import Served, wait_until

CALL = {"model": "demo/echo", "messages": [{"role": "user", "content": "a b c"}]}
WORDS = ("--by", "fin", "--reason", "looked at")


def test_a_call_that_could_not_be_booked_is_booked_once_its_cause_is_gone(served: Served) -> None:
    """The model's sum in Redis is nonsense, so the creator's side of a call can't be added to it."""
    served.start().set_up()
    with served.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    served.settle_down()
    served.ship()
    gross = served.redis.command("KEYS", "tg:{m*}:gross:*")
    field = next(line for line in served.redis.command("HKEYS", gross).splitlines() if not line.endswith(" calls"))
    served.redis.command("HSET", gross, field, "1" * 19)
    with served.wire() as wire:
        assert wire.ask(wire.chat(CALL)).status == 200
    served.ship()
    (entry,) = served.suspense()
    assert entry["reason"] == "sum-is-too-large" and entry["record"]["kind"] == "call"
    period = entry["record"]["period"]
    assert any("suspense" in reason for reason in served.cli_one("settle", "status", period)["reasons"])
    assert "can't be dropped" in served.refused("suspense", "resolve", entry["id"], "--as", "dropped", *WORDS)
    served.cli("suspense", "resolve", entry["id"], "--as", "booked", *WORDS)
    assert served.suspense() == []
    gained = served.cli_one("creator", "show", "demo")
    assert str(money.spelled(money.total(served.events("demo")))) in str(gained), gained


def test_what_is_dropped_stays_dropped_when_redis_is_rebuilt(served: Served) -> None:
    """Stands for a record that no version of the program can read."""
    served.start().set_up()
    served.ship()
    partition = partition_of(served, "account:demo")
    served.redis.command("HSET", f"tg:{{{partition}}}:suspense", "w-0000000000000001 7",
                         'record-is-unreadable {"kind":"credit","writer":"w-0000000000000001","a":1,"an":7,"x":1}')
    (entry,) = served.suspense()
    assert entry["id"] == f"{partition}:w-0000000000000001:7"
    (resolved,) = served.cli("suspense", "resolve", entry["id"], "--as", "dropped", *WORDS)
    assert resolved["by"] == "fin" and served.suspense() == []
    before = canonical_dump(served.redis)
    served.redis.command("FLUSHALL")
    served.cli("journal", "rebuild")
    wait_until(lambda: not differences(before, canonical_dump(served.redis)) or None, "it is what it was")


def test_what_is_not_in_suspense_is_not_resolved(served: Served) -> None:
    served.start().set_up()
    assert "not in suspense" in served.refused("suspense", "resolve", "a01:w-0000000000000001:7", "--as", "dropped", *WORDS)
    assert "no entry's id" in served.refused("suspense", "resolve", "nonsense", "--as", "dropped", *WORDS)
    served.refused("suspense", "resolve", "a01:x:1", "--as", "dropped", code=2)
