"""What Redis holds, in one order: so that two states can be compared that were reached in different ways."""

from __future__ import annotations

import json
from typing import Any

from tollgate import Redis

# Not projections of records: holds and their companions, rates, reports of writers, who was retired, notices to caches,
# stored answers, up to when what an account has stored of them is booked, and how far a partition was when it was emptied.
# Nor which console delivers webhooks, and what their receivers did last. And of each model the calls that arrived last, which are others when they arrive in another order.
NOT_KEPT = ("calls", "holds", "held", "looks", "live", "released", "rate", "changes", "answer", "stored", "before",
            "swept", "notifier", "heard")
RUN_FIELDS = {"run_id", "pending_run", "pending_since", "pending_last", "pending_blank"}

SCRIPT = """
local out = {}
for _, key in ipairs(redis.call('KEYS', 'tg:*')) do
    local kind = redis.call('TYPE', key).ok
    local value = {}
    if kind == 'hash' then
        value = redis.call('HGETALL', key)
    elseif kind == 'zset' then
        value = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')
    elseif kind == 'set' then
        value = redis.call('SMEMBERS', key)
    elseif kind == 'stream' then
        for _, entry in ipairs(redis.call('XRANGE', key, '-', '+')) do
            value[#value + 1] = entry[2]
        end
    elseif not string.find(key, ':answer:', 1, true) then       -- which is no text
        value = {redis.call('GET', key)}
    end
    out[#out + 1] = {key, kind, value}
end
return cjson.encode(out)
"""


def canonical_dump(redis: Redis) -> dict[str, Any]:
    """By key: hashes as sorted pairs, sets sorted, streams as their payloads. Writers fill a stream side by side, so its
    payloads are sorted as well, and the ids that point into it are left out."""
    dump: dict[str, Any] = {}
    for key, kind, value in json.loads(redis.command("EVAL", SCRIPT, "0")):
        what = key.split(":")[2] if key.startswith("tg:{") else key.split(":")[1]
        if what in NOT_KEPT:
            continue
        if kind == "hash":
            pairs = sorted(zip(value[::2], value[1::2], strict=True))
            if what == "index":
                pairs = [(name, "") for name, _ in pairs]
            if what == "state":
                pairs = [pair for pair in pairs if pair[0] not in RUN_FIELDS and not pair[0].startswith("retired ")]
            dump[key] = pairs
        else:
            dump[key] = sorted(value)
    return dump


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [f"{key}: {before.get(key)} became {after.get(key)}"
            for key in sorted({*before, *after}) if before.get(key) != after.get(key)]
