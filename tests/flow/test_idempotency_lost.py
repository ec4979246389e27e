"""A call that carries an Idempotency-Key is billed once whatever dies between it and its repetition: workers, a host, Redis."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import money
from repeated import PLAIN, REPLAY, STREAM, Gate, ask, check_all_books, check_books, complete, new_key
from repeated import account, forget_script, gateway, scripted  # fixtures
from tollgate import PATIENCE, Served, holds_socket, sockets_between, wait_until
from upstream import Upstream
from wire import Reply


def test_a_worker_killed_in_mid_call_frees_the_key_when_its_end_is_known(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    scripted.respond = gate = Gate(lambda call: None)
    with gateway.wire(key) as wire:
        wire.send(wire.chat(PLAIN, fields))
        assert gate.has_come.wait(PATIENCE)
        killed = gateway.workers()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
    gate.may_go.set()
    scripted.respond = complete
    wait_until(lambda: len(gateway.workers()) == 2 and not set(killed) & set(gateway.workers()), "they are started again")
    gateway.wait_ready()
    statuses: list[int] = []
    wait_until(lambda: statuses.append(ask(gateway, key, PLAIN, fields).status) or statuses[-1] == 200, "it is answered")
    assert set(statuses) <= {409, 503, 200}
    assert ask(gateway, key, PLAIN, fields).headers[REPLAY] == "true"
    assert len(scripted.calls) == 2
    events = check_books(gateway, name, 1)
    assert [event["outcome"] for event in events] == ["void", "complete"]


def test_a_worker_that_dies_between_claim_and_record_leaves_the_key_free(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    """Redis sleeps with the admission in its socket; when it wakes up there is a claim of a call that nobody began, and of
    which no END will ever come. The sweeper needs two minutes for its hold; the key is free as soon as all is shipped."""
    name, key = account
    for seconds in (0.3, 1.2, 4.8, 19.2):   # nobody can see it arrive in a sleeping process's socket: a slow machine is given more time
        fields = new_key()
        kill_workers_that_have_asked(gateway, account, fields, seconds)
        if any(":idem:" in line and name in line for line in gateway.redis.command("KEYS", "*").splitlines()):
            break
    ran = len(scripted.calls)
    reply = wait_until(lambda: (reply := ask(gateway, key, PLAIN, fields)).status == 200 and reply, "it is answered")
    assert REPLAY not in reply.headers and len(scripted.calls) == ran + 1


def kill_workers_that_have_asked(gateway: Served, account: tuple[str, str], fields: dict[str, str], seconds: float) -> None:
    """While Redis sleeps they are given so long to ask for the admission of a call."""
    name, key = account
    with gateway.wire(key) as warm, gateway.wire(key) as warm_too:
        for wire in (warm, warm_too):                       # so that the API key is known without asking Redis
            assert wire.ask(wire.chat(PLAIN)).status == 200
        gateway.settle_down(name)
        assert gateway.redis.process
        os.kill(gateway.redis.process.pid, signal.SIGSTOP)
        killed = gateway.workers()
        try:
            for wire in (warm, warm_too):
                wire.send(wire.chat(PLAIN, fields))
            time.sleep(seconds)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
        finally:
            os.kill(gateway.redis.process.pid, signal.SIGCONT)
    wait_until(lambda: len(gateway.workers()) == 2 and not set(killed) & set(gateway.workers()), "they are started again")
    gateway.wait_ready()


def test_a_key_stays_taken_while_its_host_is_lost_and_is_free_when_it_is_back(
        served: Served, second: Served, scripted: Upstream) -> None:
    served.backends = {"scripted": {"kind": "openai", "url": scripted.url}}
    served.start().set_up("10", [{"id": "demo/scripted", "backends": [{"name": "scripted", "model": "scripted"}]}])
    second.join(served).serve()
    second.wait_ready()
    fields, done = new_key(), new_key()
    assert ask(served, served.key, PLAIN, done).status == 200
    assert ask(second, second.key, PLAIN, done).headers[REPLAY] == "true", "hosts share keys and answers"
    scripted.respond = gate = Gate(lambda call: None)
    with served.wire() as wire:
        wire.send(wire.chat(PLAIN, fields))
        assert gate.has_come.wait(PATIENCE)
        served.kill()
    gate.may_go.set()
    scripted.respond = complete
    wait_until(lambda: ask(second, second.key, PLAIN, fields).status == 409, "the other host knows the key as taken")
    for _ in range(15):
        assert ask(second, second.key, PLAIN, fields).status == 409
        time.sleep(0.1)
    served.serve()
    served.wait_ready()
    reply = wait_until(lambda: (reply := ask(second, second.key, PLAIN, fields)).status == 200 and reply, "it is free again")
    assert REPLAY not in reply.headers
    second.ship()
    assert [event["outcome"] for event in served.events() if event["amount"] != "0"] == ["complete", "complete"]


def test_workers_that_die_again_and_again_bill_each_key_once(gateway: Served, scripted: Upstream) -> None:
    """Clients that repeat until they have an answer: one billed event of a whole answer for each key."""
    account, key = gateway.new_account("10")
    is_over = threading.Event()
    done: dict[str, bytes] = {}

    def insist(fields: dict[str, str]) -> None:
        while True:
            try:
                reply = ask(gateway, key, PLAIN, fields)
            except OSError:
                time.sleep(0.05)
                continue
            if reply.status in (200, 410) and reply.is_whole:
                done[fields["Idempotency-Key"]] = reply.body
                return
            assert reply.status in (0, 200, 409, 502, 503), reply
            time.sleep(0.05)

    def work() -> None:
        while not is_over.is_set():
            insist(new_key())

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    killed: list[int] = []
    try:
        for turn in range(3):
            before = len(done)
            wait_until(lambda before=before: len(done) >= before + 12, "keys are answered")
            victim = gateway.workers()[turn % 2]
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda: len(gateway.workers()) == 2 and not set(killed) & set(gateway.workers()), "it is back")
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    gateway.settle_down(account, 240)
    gateway.ship()
    events = gateway.events(account)
    whole = [event for event in events if event["outcome"] == "complete"]
    assert len(whole) == len(done), (len(whole), len(done))
    assert len({event["idempotency"]["key"] for event in whole}) == len(whole)
    assert not [event for event in events if event["outcome"] != "complete" and event["amount"] != "0"]
    assert gateway.balance(account) == 10 - money.total(events)


def test_redis_away_is_503_and_nothing_is_guessed(gateway: Served, scripted: Upstream) -> None:
    account, key = gateway.new_account(None, "--postpaid", "--credit-limit", "1")
    fields, open_fields = new_key(), new_key()
    assert ask(gateway, key, PLAIN, fields).status == 200
    gateway.settle_down(account)
    gateway.redis.kill()
    for known in (fields, open_fields):
        reply = ask(gateway, key, PLAIN, known)
        assert reply.status == 503 and int(reply.headers["retry-after"]) >= 1, reply
    assert len(scripted.calls) == 1
    gateway.redis.start()
    gateway.wait_ready()
    again = wait_until(lambda: (reply := ask(gateway, key, PLAIN, fields)).status != 503 and reply, "calls are admitted")
    assert again.headers[REPLAY] == "true"


def test_a_redis_that_lost_everything_knows_what_was_answered_after_a_rebuild(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    plain, stream = new_key(), new_key()
    first = ask(gateway, key, PLAIN, plain)
    assert ask(gateway, key, STREAM, stream).is_whole
    gateway.settle_down(name)
    gateway.redis.command("FLUSHALL")
    gateway.cli("journal", "rebuild")
    gateway.wait_ready()
    again = wait_until(lambda: (reply := ask(gateway, key, PLAIN, plain)).status != 503 and reply, "calls are admitted")
    assert again.status == 410 and again.error["request_id"] == first.headers["x-request-id"], again
    assert ask(gateway, key, STREAM, stream).headers[REPLAY] == "true"
    assert len(scripted.calls) == 2
    check_books(gateway, name, 2)


def test_a_claim_of_a_running_call_survives_the_loss_of_redis(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    scripted.respond = gate = Gate(complete)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, gateway, key, PLAIN, fields)
        assert gate.has_come.wait(PATIENCE)
        gateway.redis.kill()
        gateway.redis.cut_tail(10 ** 9)
        gateway.redis.start()
        gateway.wait_ready()
        second = wait_until(lambda: (reply := ask(gateway, key, PLAIN, fields)).status != 503 and reply, "calls are admitted")
        assert second.status == 409
        gate.may_go.set()
        assert first.result().status == 200
    assert ask(gateway, key, PLAIN, fields).body == first.result().body
    assert len(scripted.calls) == 1
    check_books(gateway, name, 1)


def test_an_answer_that_redis_does_not_take_is_given_all_the_same(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    scripted.respond = gate = Gate(complete)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, gateway, key, PLAIN, fields)
        assert gate.has_come.wait(PATIENCE)
        gateway.redis.kill()
        gate.may_go.set()
        assert first.result().status == 200 and first.result().json()["choices"][0]["message"]["content"] == "an answer"
    gateway.redis.start()
    gateway.wait_ready()
    again = wait_until(lambda: (reply := ask(gateway, key, PLAIN, fields)).status not in (409, 503) and reply, "it is known")
    assert again.status == 410 and again.error["request_id"] == first.result().headers["x-request-id"]
    assert len(scripted.calls) == 1
    check_books(gateway, name, 1)


def test_a_call_longer_than_redis_vouches_for_is_confirmed_before_its_answer(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    scripted.respond = lambda call: (time.sleep(9), call.complete("late") if not call.json.get("stream") else call.stream(["late"]))[1]
    with ThreadPoolExecutor(2) as pool:
        plain, stream = (pool.submit(ask, gateway, key, body, new_key()) for body in (PLAIN, STREAM))
        assert plain.result().status == 200 and stream.result().events()[-1] == "[DONE]"
    check_books(gateway, name, 2)


def test_a_worker_that_lost_a_key_while_it_slept_does_not_answer_too(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    """Redis loses the claim while the worker of the first call sleeps; after 10 s the others go on without it."""
    name, key = account
    fields = new_key()
    gateway.settle_down(name)
    gateway.redis.rewrite()                                 # what is lost below is only what comes after
    scripted.respond = gate = Gate(complete)
    sleeping: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(ask, gateway, key, PLAIN, fields)
            assert gate.has_come.wait(PATIENCE)
            inodes = sockets_between(scripted.calls[-1].connection.getpeername()[1], scripted.port)
            sleeping = [pid for pid in gateway.workers() if holds_socket(pid, inodes)]
            assert len(sleeping) == 1
            os.kill(sleeping[0], signal.SIGSTOP)
            gateway.redis.kill()
            gateway.redis.cut_tail(10 ** 9)
            gateway.redis.start()
            scripted.respond = complete
            again = wait_until(lambda: (reply := try_ask(gateway, key, PLAIN, fields)) and reply.status == 200 and reply,
                               "another worker runs it")
            gate.may_go.set()
        finally:
            for pid in sleeping:
                os.kill(pid, signal.SIGCONT)
        late = first.result()
    assert late.status in (409, 503), late
    gateway.wait_ready()
    assert ask(gateway, key, PLAIN, fields).body == again.body
    assert len(scripted.calls) == 2
    check_books(gateway, name, 1)


def try_ask(gateway: Served, key: str, body: Any, fields: dict[str, str]) -> Reply | None:
    """None when the connection went to a worker that sleeps."""
    try:
        with gateway.wire(key, timeout=2) as wire:
            return wire.ask(wire.chat(body, fields))
    except OSError:
        return None


def test_a_redis_that_hangs_at_the_end_delays_the_answer_no_longer_than_its_time_out(
        gateway: Served, scripted: Upstream, account: tuple[str, str]) -> None:
    name, key = account
    fields = new_key()
    scripted.respond = gate = Gate(complete)
    assert gateway.redis.process
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, gateway, key, PLAIN, fields)
        assert gate.has_come.wait(PATIENCE)
        os.kill(gateway.redis.process.pid, signal.SIGSTOP)
        try:
            gate.may_go.set()
            assert first.result(PATIENCE).status == 200
        finally:
            os.kill(gateway.redis.process.pid, signal.SIGCONT)
    gateway.wait_ready()
    again = wait_until(lambda: (reply := ask(gateway, key, PLAIN, fields)).status not in (409, 503) and reply, "it is known")
    assert again.headers[REPLAY] == "true" and again.headers["x-request-id"] == first.result().headers["x-request-id"]
    assert len(scripted.calls) == 1
    check_books(gateway, name, 1)


def test_the_books_of_all_this_add_up(gateway: Served) -> None:
    check_all_books(gateway, more_than=8)
