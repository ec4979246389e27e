"""What each fault does and how it undoes it. `target` names what is struck; `over` cuts every wait short at the end.
Each says what happened, for the log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tollgate import is_gone

from .stack import Stack


TOO_LATE = "left out: the time was over"
Act = Callable[[Stack, str, dict[str, Any], threading.Event], str]


def apart(act: Act) -> Act:
    """From the moment that a journal which Redis alone has a copy of is destroyed until its writer is retired, Redis loses
    nothing: to lose both is what the guarantee leaves out."""
    def wait_and_act(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
        with stack.only_copy:
            return TOO_LATE if over.is_set() else act(stack, target, given, over)
    return wait_and_act


# --- processes of a gateway: `target` is an instance's name

def kill_child(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    instance = stack.instances[target]
    killed = send(signal.SIGKILL, instance.children(given["kind"])[:given["count"]])
    return f"killed {len(killed)}"


def pause_child(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    pids = stack.instances[target].children(given["kind"])[:1]
    return pause(pids, given["seconds"], over)


def pause_master(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    return pause([stack.instances[target].pid], given["seconds"], over)


def pause(pids: list[int], seconds: float, over: threading.Event) -> str:
    paused = send(signal.SIGSTOP, pids)
    over.wait(seconds)
    woken = send(signal.SIGCONT, paused)
    return f"paused {len(paused)}, {len(paused) - len(woken)} died meanwhile"


def send(sign: signal.Signals, pids: list[int]) -> list[int]:
    """Those that were there: a child may end by itself while one looks at it."""
    reached = []
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
            reached.append(pid)
    return reached


def kill_master(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    instance = stack.instances[target]
    instance.kill()
    over.wait(given["seconds"])
    instance.serve()
    return "killed and started again"


def restart(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """SIGTERM: what a deployment does."""
    instance = stack.instances[target]
    instance.stop_in_order()
    over.wait(given["seconds"])
    instance.serve()
    return "stopped and started again"


def reload(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """SIGHUP: new workers take over, and what the old still stream is cut when their drain is over."""
    instance = stack.instances[target]
    instance.wait_alive()
    old = instance.children("worker")
    deadline = time.monotonic() + given["seconds"]
    assert instance.process
    instance.ask_to_reload(instance.process)
    while (left := [pid for pid in old if not is_gone(pid)]) and time.monotonic() < deadline:
        if over.wait(0.1):
            break
    return f"reloaded, {len(left)} of {len(old)} workers are still there"


def replace_secrets(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """The tokens and the key that signs receipts, each written aside and renamed, as the manual has it; then a reload."""
    state = stack.instances[target].state
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(state / "signing.pem.new")], check=True,
                   capture_output=True)
    for name, prefix in (("operator.token", "ot-tg-"), ("finance.token", "ft-tg-")):
        (state / f"{name}.new").write_text(prefix + uuid.uuid4().hex + "\n")
    for name in ("signing.pem", "operator.token", "finance.token"):
        (state / f"{name}.new").chmod(0o600)
        (state / f"{name}.new").rename(state / name)
    return "replaced; " + reload(stack, target, given, over)


# --- its disk and its clock

def fill_disk(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    return fill(stack.instances[target].journal / "filler", given, over)


def fill_archive(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """Both hosts have one."""
    return fill(stack.archive / "filler", given, over)


def fill(filler: Path, given: dict[str, Any], over: threading.Event) -> str:
    taken = 0
    deadline = time.monotonic() + given["seconds"]
    try:
        with filler.open("wb", buffering=0) as file:
            while time.monotonic() < deadline and not over.is_set():
                for size in (65536, 4096, 1):
                    try:
                        while time.monotonic() < deadline:
                            taken += file.write(b"x" * size)
                    except OSError:
                        continue
                time.sleep(0.02)
    finally:
        filler.unlink()
    return f"filled with {taken} bytes"


def fail_disk(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    shim = stack.instances[target].shim
    shim.order(**{given["what"]: given["times"]}, error=given["error"])
    over.wait(given["seconds"])
    left = shim.left()
    shim.order()
    return f"{given['times'] - max(left)} failed"


def jump_clock(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    shim = stack.instances[target].shim
    shim.order(ahead_ns=given["ms"] * 1_000_000)
    over.wait(given["seconds"])
    shim.order()
    return "jumped and came back"


# --- Redis

def kill_redis(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    redis = stack.ledger.redis
    redis.kill()
    lost = redis.cut_tail(given["cut"]) if given["cut"] else 0
    over.wait(given["seconds"])
    return f"killed, {lost} bytes of its file cut off, started again: {stack.ledger.start_again()}"


def pause_redis(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    return pause([stack.ledger.redis.process.pid], given["seconds"], over)


def block_redis(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    said = stack.ledger.redis.command("CLIENT", "PAUSE", str(int(given["seconds"] * 1000)), "ALL")
    over.wait(given["seconds"])
    return f"CLIENT PAUSE: {said}"


def flush_redis(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """Emptied while it runs, which the gateways are not told: the operator rebuilds, from both hosts."""
    said = stack.ledger.redis.command("FLUSHALL")
    over.wait(given["seconds"])
    return f"FLUSHALL: {said}; {stack.rebuild()}"


def kill_master_redis(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """It comes back as a replica of whoever was promoted meanwhile, or as the master that it was."""
    masters = stack.ledger.masters
    victim = masters[given["which"] % len(masters)]
    victim.kill()
    over.wait(given["seconds"])
    stack.spawn(victim.start)
    return f"killed the master at {victim.where}"


def pause_master_redis(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """Longer than the others wait: a replica is promoted, and what the old master had not passed on is lost."""
    masters = stack.ledger.masters
    victim = masters[given["which"] % len(masters)]
    return f"the master at {victim.where}: {pause([victim.process.pid], given['seconds'], over)}"


def move_slot(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """A partition in use moves to another master, key by key, while calls run."""
    cluster, partition = stack.ledger.group, given["partition"]
    slot = cluster.slot_of(partition)
    others = [server for server in stack.ledger.masters if server is not cluster.master_of(slot)]
    to = others[given["which"] % len(others)]
    cluster.move_slot(slot, to, lambda: time.sleep(0.02))
    return f"slot {slot} of {partition} moved to {to.where}"


# --- the network: `target` is an instance's name with -net

def link_of(stack: Stack, target: str, given: dict[str, Any]) -> Any:
    """Where Redis has no proxy, a model server's link is taken instead."""
    instance = stack.instances[target.removesuffix("-net")]
    is_redis = given["link"] == "redis" and instance.redis_link
    return instance.redis_link if is_redis else instance.model_links.get(given["link"], instance.model_links["first"])


def cut_link(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    link = link_of(stack, target, given)
    link.refuse(given["seconds"] > 0)
    link.cut()
    over.wait(given["seconds"])
    link.heal()
    return "cut"


def half_close_link(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    link_of(stack, target, given).half_close()
    return "half closed"


def slow_link(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    link = link_of(stack, target, given)
    link.slow(given["delay"])
    over.wait(given["seconds"])
    link.heal()
    return "slowed"


def silence_link(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """A black hole; then either what stood in it arrives late, or it is lost with the connection."""
    link = link_of(stack, target, given)
    link.silence(True)
    over.wait(given["seconds"])
    if given["then"] == "cut":
        link.cut()
    link.heal()
    return f"silent, then {given['then']}"
