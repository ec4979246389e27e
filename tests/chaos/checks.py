"""The books, counted once more. Every check yields one sentence for each thing that is wrong.

Amounts are computed here from the catalogue, in whole nanos; nothing of the product's own arithmetic is used.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from . import grants, spending, world
from .books import COMPLETE, Books
from .clients import Seen
from .evidence import PARTITIONS
from .outages import is_during


def every_end_that_was_seen_is_billed_once(books: Books) -> Iterator[str]:
    """Exactly one event, complete, with the model server's own numbers."""
    for seen in books.seen:
        if not seen.saw_end or seen.status != 200:
            continue
        books.counts["calls whose end was seen"] += 1
        events = books.events.get(seen.request_id, [])
        if seen.request_id in books.lost:
            books.counts["calls whose end was seen, LOST with their journal"] += 1
            if events:
                yield f"{seen.request_id}: it was lost with its journal, and has {len(events)} events"
            continue
        if len(events) != 1:
            yield f"{seen.request_id}: its client saw its end, and it has {len(events)} events"
            continue
        (event,) = events
        whole = [served.units for served in books.served.get(seen.request_id, []) if served.units]
        if event["outcome"] != COMPLETE or tokens(event) not in whole:
            yield f"{seen.request_id}: its client saw its end; served {whole}, billed {event['outcome']} {event['units']}"
        if seen.cost and world.nanos(seen.cost) != world.nanos(event["amount"]):
            yield f"{seen.request_id}: its client was told {seen.cost}, its event says {event['amount']}"


def every_other_call_has_one_resolution(books: Books) -> Iterator[str]:
    """One event, whatever died: BEGIN is written before a model server hears of the call."""
    for request_id in {*books.served, *books.by_id}:
        seen = books.by_id.get(request_id)
        if seen and seen.saw_end:
            continue
        books.counts["calls whose end was not seen"] += 1
        events = books.events.get(request_id, [])
        if len(events) > 1:
            yield f"{request_id}: {len(events)} events"
        elif not events and request_id in books.lost:
            books.counts["calls whose end was not seen, LOST with their journal"] += 1
        elif not events:
            yield f"{request_id}: it reached a model server and has no event"
        else:
            yield from _bounded(books, request_id, seen, events[0])


def _bounded(books: Books, request_id: str, seen: Seen | None, event: Any) -> Iterator[str]:
    """Billed no more than was handed to its socket, unless it drained or its END was complete."""
    model = world.BY_NAME[event["model"]]
    served = books.served.get(request_id, [])
    books.counts[f"resolved as {event['outcome']}"] += 1
    if event["outcome"] == COMPLETE:
        if tokens(event) not in [one.units for one in served if one.units]:
            yield f"{request_id}: complete, and no model server stated {event['units']}"
        return
    if event["outcome"] == "void" and world.nanos(event["amount"]):
        yield f"{request_id}: void, and billed {event['amount']}"
    output = event["units"].get("output_tokens", 0)
    if output > max((one.chunks for one in served), default=0):
        yield f"{request_id}: billed {output} output tokens, and only {[one.chunks for one in served]} were made"
    if seen and seen.way == "eof" and output > seen.chunks:
        yield f"{request_id}: billed {output} output tokens, and its client, who read all, got {seen.chunks}"
    if seen and not seen.is_stream and event["amount"] != "0":
        yield f"{request_id}: a plain reply that was cut off is billed {event['amount']} ({model.name})"
    bytes_max = max((one.body_bytes for one in served), default=0)
    if event["units"].get("input_tokens", 0) > bytes_max:
        yield f"{request_id}: billed {event['units']} for a body of {bytes_max} bytes"


def tokens(event: Any) -> dict[str, int]:
    return {unit: count for unit, count in event["units"].items() if unit not in world.PER_ONE}


def an_errand_is_done_once(books: Books) -> Iterator[str]:
    """Of all calls under one Idempotency-Key at most one is a whole answer, and every repetition names that one."""
    by_trace = {served.trace: request_id for request_id, many in books.served.items() for served in many}
    errands: dict[str, list[Seen]] = defaultdict(list)
    for seen in books.seen:
        if seen.errand:
            errands[seen.errand].append(seen)
    for errand, tries in errands.items():
        calls = {seen.request_id or by_trace.get(seen.trace, "") for seen in tries if not seen.replays}
        whole = {call for call in calls for event in books.events.get(call, []) if event["outcome"] == COMPLETE}
        told = {seen.replays for seen in tries if seen.replays}
        books.counts["errands"] += 1
        books.counts["errands repeated after an answer"] += bool(told)
        if len(whole) > 1:
            yield f"{errand}: billed in full as {sorted(whole)}"
        if told - whole:
            yield f"{errand}: answered before as {sorted(told)}, and whole is {sorted(whole)}"


def no_call_is_served_twice(books: Books) -> Iterator[str]:
    """A call goes to a second server only when the first had refused it or can't have taken it: docs of lib/net/httpc.h,
    a reused connection that is reset within half a second of the request."""
    for request_id, served in books.served.items():
        books.counts["calls that another model server took over"] += len({one.server for one in served}) > 1
        for before, after in itertools.pairwise(served):
            if not before.refused and after.began - before.began > 1:
                yield f"{request_id}: served by {before.server}, and {after.began - before.began:.1f} s later by {after.server}"


def every_billed_event_names_the_server_that_served(books: Books) -> Iterator[str]:
    for event in books.all_events:
        served = {one.server for one in books.served.get(event["request_id"], []) if not one.refused}
        if world.nanos(event["amount"]) and event["backend"] not in served:
            yield f"{event['request_id']}: it names {event['backend'] or 'no server'}, and {sorted(served)} served it"


def no_event_without_a_call(books: Books) -> Iterator[str]:
    """What neither a client nor a model server knows of never got beyond the gateway, and owes nothing."""
    for request_id, events in books.events.items():
        if request_id in books.by_id or request_id in books.served:
            continue
        books.counts["calls that reached no model server"] += 1
        if len(events) > 1 or any(world.nanos(event["amount"]) for event in events):
            yield f"{request_id}: nobody knows of it: {events}"


def every_amount_is_the_price_of_its_units(books: Books) -> Iterator[str]:
    for event in books.all_events:
        price = event["price"].split("@")[0]
        model = world.BY_NAME[event["model"]]
        if price != model.price or {one["id"]: one["weight"] for one in event["creators"]} != model.owners:
            yield f"{event['request_id']}: it names {event['price']} and {event['creators']}"
        if world.cost(price, event["units"]) != world.nanos(event["amount"]):
            yield f"{event['request_id']}: {event['units']} at {price} are not {event['amount']}"
        if event["units"] != (world.with_call(price, tokens(event)) if event["units"] else {}):
            yield f"{event['request_id']}: the price of a call is missing, or due for nothing: {event['units']}"
    books.counts["events"] = len(books.all_events)


def accounts_add_up(books: Books) -> Iterator[str]:
    """Redis' debits are the events, its balance is credits, adjustments, refunds and grants, each operation once, less what
    was taken back of grants, less events; nothing is held."""
    debits, granted = books.debits, books.grants
    in_redis: Counter[str] = Counter()
    for key in books.redis.keys("tg:{a??}:debits:*"):
        for name, value in books.redis.table(key).items():
            if not name.endswith(" calls"):
                in_redis[name.split(" ")[0]] += int(value)
    balances = {key.rpartition(":")[2]: books.redis.table(key) for key in books.redis.keys("tg:{a??}:account:*")}
    for account in world.ACCOUNTS:
        name, found = account.name, {"balance": "0", "room": "0", **balances.get(account.name, {})}
        if debits[name] != in_redis[name]:
            yield f"account {name}: its events sum to {debits[name]}, Redis was charged {in_redis[name]}"
        given = books.credits[name] + books.adjustments[name] + books.refunds[name] + sum(
            grant.nanos - grant.taken() for grant in granted.get(name, []))
        if int(found["balance"]) != given - debits[name]:
            yield f"account {name}: given {given}, charged {debits[name]}, and its balance is {found['balance']}"
        if int(found["room"]) != int(found["balance"]) + int(found.get("credit_limit") or 0):
            yield f"account {name}: something is still held: {found}"
        if account.is_prepaid and int(found["balance"]) < 0:
            yield f"account {name}: prepaid, and it stands at {found['balance']}"
    if set(balances) != {account.name for account in world.ACCOUNTS}:
        yield f"accounts nobody opened: {set(balances)}"


def refunds_are_recorded_once(books: Books) -> Iterator[str]:
    """What was asked for is in the archive, and Redis books it once in both partitions."""
    recorded = books.refund_records
    accounts: Counter[str] = Counter()
    for record in recorded.values():
        accounts[record["account"]] += world.nanos(record["amount"])
    books.counts["refunds"] = len(recorded)
    if accounts != +books.refunds:
        yield f"refunds asked for: {books.refunds}, recorded: {accounts}"
    for side in "am":
        booked = sum(int(value) for key in books.redis.keys(f"tg:{{{side}??}}:refunded")
                     for name, value in books.redis.table(key).items() if not name.endswith(" count"))
        if booked != sum(accounts.values()):
            yield f"refunds recorded: {sum(accounts.values())}, booked on side {side}: {booked}"


def creators_earn_what_accounts_pay(books: Books) -> Iterator[str]:
    gross = books.by_model(books.all_events)
    in_redis: Counter[str] = Counter()
    for key in books.redis.keys("tg:{m??}:gross:*"):
        for name, value in books.redis.table(key).items():
            if not name.endswith(" calls"):
                in_redis[name.split(" ")[0]] += int(value)
    for model in world.MODELS:
        if gross[model.name] != in_redis[model.name]:
            yield f"model {model.name}: its events sum to {gross[model.name]}, Redis says {in_redis[model.name]}"


def a_revoked_key_opens_nothing(books: Books) -> Iterator[str]:
    """From the moment that the command said so. A postpaid account may go on with a key as its worker last read it while
    that worker has no Redis to ask (docs/operators.md, `offline_allowance`), and then only."""
    prepaid = {account.name for account in world.ACCOUNTS if account.is_prepaid}
    for seen in books.seen:
        since = books.revoked.get(seen.key)
        if since is None or seen.sent < since:
            continue
        books.counts["calls with a revoked key"] += 1
        if seen.status != 200:
            continue
        if seen.account not in prepaid and is_during(books.outages, seen.instance, seen.sent, seen.answered):
            books.counts["calls with a revoked key, answered postpaid without Redis"] += 1
        else:
            yield (f"{seen.trace}: sent {seen.sent - since:.3f} s after key {seen.key} of {seen.account} was revoked, and "
                   f"answered by {seen.instance}")


def a_good_key_is_never_refused(books: Books) -> Iterator[str]:
    """Whatever becomes of the pepper: only one that somebody has asked to revoke."""
    for seen in books.seen:
        if seen.status == 401 and not books.revoking.get(seen.key, seen.ended) < seen.ended:
            yield f"{seen.trace}: {seen.code} at {seen.ended:.3f} on {seen.instance}, and nobody had revoked key {seen.key}"


def a_new_certificate_is_shown_from_when_it_is_in_force(books: Books) -> Iterator[str]:
    """To every connection that is begun after that, and no certificate before it was there."""
    for seen in books.seen:
        if not seen.certificate:
            continue
        history = books.certificates[seen.instance]
        index = next((i for i, shown in enumerate(history) if shown.fingerprint == seen.certificate), None)
        if index is None or history[index].written > seen.sent:
            yield f"{seen.trace}: {seen.instance} showed {seen.certificate}, which it did not have"
            continue
        if any(after.in_force and after.in_force < seen.dialed for after in history[index + 1:]):
            yield f"{seen.trace}: dialed at {seen.dialed:.3f}, {seen.instance} showed {seen.certificate}: {history}"
        books.counts["calls on a connection from before a new certificate"] += any(
            after.written < seen.sent for after in history[index + 1:])
    books.counts["certificates"] = sum(map(len, books.certificates.values()))


def no_prepaid_balance_was_below_zero(books: Books) -> Iterator[str]:
    for account, (nanos, at) in books.lowest.items():
        books.counts[f"nanos, the lowest balance of {account}"] = nanos
        if nanos < 0:
            yield f"account {account} stood at {nanos} nanos at {at:.3f}"


def destroyed_journals_are_whole_in_the_archive(books: Books) -> Iterator[str]:
    """To the last record that stood in them; what the archive did not have yet came from Redis."""
    for name, heads in books.destroyed.items():
        writer = books.writers.get(name)
        for partition, head in heads.items():
            if not writer or writer.heads.get(partition) != head:
                yield (f"{name}: its journal ended at {head} in {partition}, the archive at "
                       f"{writer and writer.heads.get(partition)}")
        saved = sum(record["saved"] for record in (writer.records if writer else []) if record["kind"] == "retire")
        books.counts["journals destroyed"] += 1
        books.counts["journals destroyed, completed from Redis"] += saved > 0
        books.counts["journals destroyed, records completed from Redis"] += saved


def nothing_is_held_or_in_suspense(books: Books) -> Iterator[str]:
    for pattern in ("tg:{a??}:holds:*", "tg:{a??}:suspense", "tg:{m??}:suspense"):
        for key in books.redis.keys(pattern):
            yield f"{key}: {books.redis.table(key)}"
    for key in books.redis.keys("tg:{??*}:state"):
        state = books.redis.table(key)
        if "parked" in state or "applying" in state:
            yield f"{key}: {state}"


def cursors_are_the_heads(books: Books) -> Iterator[str]:
    """Per partition and writer: the number and the checksum of the last record, as the archive holds it."""
    heads = {(partition, writer.name): head for writer in books.writers.values()
             for partition, head in writer.heads.items()}
    cursors = {}
    for side in "am":
        for number in range(PARTITIONS):
            partition = f"{side}{number:02}"
            for writer, text in books.redis.table(f"tg:{{{partition}}}:cursors").items():
                n, crc = text.split(" ")
                if int(n):
                    cursors[partition, writer] = (int(n), crc)
    for place in sorted({*heads, *cursors}):
        if heads.get(place) != cursors.get(place):
            yield f"{place}: the archive's head is {heads.get(place)}, the cursor {cursors.get(place)}"
    books.counts["cursors"] = len(cursors)


CHECKS = [
    every_end_that_was_seen_is_billed_once,
    every_other_call_has_one_resolution,
    an_errand_is_done_once,
    no_call_is_served_twice,
    every_billed_event_names_the_server_that_served,
    no_event_without_a_call,
    every_amount_is_the_price_of_its_units,
    accounts_add_up,
    grants.grants_are_given_once,
    grants.grants_that_end_are_taken_back_once,
    grants.what_is_left_of_grants_is_said,
    spending.what_was_spent_in_a_day_is_its_calls,
    refunds_are_recorded_once,
    creators_earn_what_accounts_pay,
    a_revoked_key_opens_nothing,
    a_good_key_is_never_refused,
    a_new_certificate_is_shown_from_when_it_is_in_force,
    no_prepaid_balance_was_below_zero,
    destroyed_journals_are_whole_in_the_archive,
    nothing_is_held_or_in_suspense,
    cursors_are_the_heads,
]
