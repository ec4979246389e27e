"""Secrets are changed as the manual has it (docs/operators.md, "Rotating secrets"), step by step, while other faults act:
the certificate of one host; the pepper and Redis's password, which both hosts must know before either needs them.

A change that the end of the time cuts short stays where it is: each of its steps is a state in which all works.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tollgate import run

from .certificates import replace
from .stack import Instance, Stack

PATIENCE = 600      # seconds for one step, whatever else is broken meanwhile; a client's errand may take minutes
CUT = "the time was over"


def replace_certificate(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """Once nothing that runs has read an earlier one, every new connection is shown the new one (checks.py)."""
    instance = stack.instances[target]
    shown = stack.authority.renew(instance.certificate)
    instance.certificates.append(shown)
    if not instance.reload_whole(over):
        return CUT
    shown.in_force = time.time()
    return f"{shown.fingerprint} is shown"


def in_turn(stack: Stack, given: dict[str, Any], over: threading.Event, write: Callable[[Instance], None]) -> bool:
    """On each host, the one or the other first: writes the files, and goes on when nothing runs that has not read them."""
    names = sorted(stack.instances, reverse=given["first"])
    for name in names:
        write(stack.instances[name])
        if not stack.instances[name].reload_whole(over) or over.wait(given["pause"]):
            return False
    return True


# --- the pepper

def change_pepper(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """Known to both; in use; and the earlier one gone, when no key of a client needs it, also if Redis were to lose all, and
    no client repeats a call of before: of the day that the manual has one wait, this is what can be told here."""
    pepper = uuid.uuid4().hex + uuid.uuid4().hex + "\n"
    if not in_turn(stack, given, over, lambda one: replace(one.state / "pepper.next", pepper)):
        return f"both are told of it: {CUT}"
    if not in_turn(stack, given, over, use_next_pepper):
        return f"it comes into use: {CUT}"
    used = time.time()
    if not until(lambda: who_needs_earlier_pepper(stack, used), over):
        return f"keys are hashed anew: {CUT}"
    archived = Archived(stack.archive, pepper.strip())
    if not until(lambda: archived.who_is_missing(stack), over):
        return f"what hashed them anew is archived: {CUT}"
    waited = time.time() - used
    if not in_turn(stack, given, over, lambda one: (one.state / "pepper.previous").unlink()):
        return f"the earlier one goes: {CUT}"
    return f"changed, and after {waited:.0f} s the earlier one was needed no more"


def use_next_pepper(instance: Instance) -> None:
    """At no moment is there none, for a process that starts meanwhile."""
    shutil.copy2(instance.state / "pepper", instance.state / "pepper.previous.new")
    (instance.state / "pepper.previous.new").rename(instance.state / "pepper.previous")
    (instance.state / "pepper.next").rename(instance.state / "pepper")


def who_needs_earlier_pepper(stack: Stack, used: float) -> str:
    """Nobody: "". A call is repeated by the name that its key had when it was first sent."""
    for client in stack.clients:
        if client.errand_since and client.errand_since < used:
            return f"{client.name} may repeat a call of before"
    if any(began < used for began in list(stack.creations.values())):
        return "a key of before is still being made"
    for instance in stack.instances.values():
        done = run("key", "list", "--json", config=instance.config, timeout=120)
        if done.returncode == 0:
            break
    else:
        return "nobody lists the keys"
    keys = {key["public_id"]: key for key in map(json.loads, done.stdout.splitlines())}
    mine = {client.key.split("-")[2] for client in stack.clients}
    if mine - set(keys):
        return f"keys {mine - set(keys)} are not listed, as happens while Redis is being filled"
    left = {key: keys[key]["pepper"] for key in mine if keys[key]["pepper"] != "in use" and keys[key]["state"] == "active"}
    return f"keys are hashed with the earlier pepper: {left}" if left else ""


class Archived:
    """Which keys the archive knows to be hashed with a pepper: until it does, a console that sleeps has the only word of it
    when Redis loses all."""

    def __init__(self, archive: Path, pepper: str) -> None:
        self.archive = archive
        self.pepper = hmac.new(pepper.encode(), b"tollgate pepper id", hashlib.sha256).hexdigest()[:8]
        self.read, self.keys = set[Path](), set[str]()

    def who_is_missing(self, stack: Stack) -> str:
        """Nobody: ""."""
        for path in set(self.archive.glob("w-*/*.jsonl.zst")) - self.read:
            data = subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout
            self.read.add(path)
            for line in data.splitlines():
                if self.pepper.encode() in line:
                    self.take(json.loads(line))
        missing = {client.key.split("-")[2] for client in stack.clients} - self.keys
        return f"the archive lacks what hashed them anew: {missing}" if missing else ""

    def take(self, value: Any) -> None:
        if isinstance(value, dict) and value.get("pepper") == self.pepper and "key" in value:
            self.keys.add(value["key"])
        for part in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self.take(part)


# --- Redis's password

def change_redis_password(stack: Stack, target: str, given: dict[str, Any], over: threading.Event) -> str:
    """Redis takes both; both hosts have the new one; Redis takes only that one, and nobody's connection stays."""
    old, new = stack.redis_password, uuid.uuid4().hex
    if not until(lambda: stack.ledger.set_login(f">{new}"), over):
        return f"Redis is told of it: {CUT}"
    stack.redis_password = new
    if not in_turn(stack, given, over, lambda one: replace(one.redis_password_file, new + "\n")):
        return f"both are told of it: {CUT}"
    if not until(lambda: stack.ledger.set_login(f"<{old}"), over):
        return f"Redis forgets the earlier one: {CUT}"
    stack.ledger.break_connections()
    return "changed, and all connections broken"


def until(missing: Callable[[], str], over: threading.Event) -> bool:
    """Nothing is missing. False: the time was over before."""
    deadline = time.monotonic() + PATIENCE
    while not over.is_set():
        what = missing()
        if not what:
            return True
        assert time.monotonic() < deadline, f"after {PATIENCE} s {what}"
        over.wait(0.5)
    return False
