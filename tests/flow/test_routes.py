"""Every route answers as itself, whatever is missing: the catalogue, Redis from the start, Redis later on, a journal.

The routes are read from the tables of the source, and each has to be filled in here: one that is forgotten fails.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from test_surfaces import embed
from tollgate import PATIENCE, SLOWER, TOP, Served, wait_until
from upstream import Call, Upstream

TABLE = re.compile(r"const struct route (\w+)\[\] = \{\n(.*?)\n\};", re.DOTALL)
ROW = re.compile(r'^ {4}\{"([A-Z]+)", "([^"]+)", ([A-Z_]+),', re.MULTILINE)
WORDS = [{"role": "user", "content": "a b c"}]
numbers = itertools.count(1)


@dataclass(frozen=True)
class Route:
    table: str
    method: str
    pattern: str
    access: str

    def __str__(self) -> str:
        return f"{self.method} {self.pattern}"


# Asked alone. A catalogue is refused while other changes are on their way to Redis; after a rebuild writers come again.
FIRST, LAST = "POST /admin/v1/catalogue", "POST /admin/v1/journal/rebuild"


def read_routes() -> list[Route]:
    """Of every table that is in the source."""
    found = []
    for path in sorted((TOP / "gateway").glob("*.c")):
        for table, rows in TABLE.findall(path.read_text()):
            routes = [Route(table, *row) for row in ROW.findall(rows)]
            assert len(routes) == len(re.findall(r"^ {4}\{", rows, re.MULTILINE)), f"a row of {path.name} can't be read"
            found += routes
    return found


ROUTES = read_routes()

# What stands for a part of a path, by the part before it.
PARTS: dict[str, Callable[[World, Route], str]] = {
    "models": lambda world, route: "demo/all", "usage": lambda world, route: world.call, "calls": lambda world, route: world.call,
    "refunds": lambda world, route: "op-refund", "pages": lambda world, route: "app.js", "periods": lambda world, route: "2026-01",
    "files": lambda world, route: "manifest.json", "creators": lambda world, route: "demo",
    "accounts": lambda world, route: world.account, "keys": lambda world, route: world.own[route],
    "webhooks": lambda world, route: world.own[route],
}
# What is sent, by the route: {op} is an operation's id, {account} the account of this state.
QUERIES = {
    "POST /admin/v1/catalogue": "op={op}", "GET /admin/v1/archive/calls": "account=demo&limit=10",
    "GET /admin/v1/archive/calls/:id": "account=demo",
}
MODELS = [{"id": "demo/all", "backends": [{"name": "scripted"}], "surfaces": ["chat", "completions", "embeddings"]}]
HOOK = "https://127.0.0.1:9/{op}"
WHY = {"reason": "a test", "op": "{op}"}
BODIES: dict[str, Any] = {
    "POST /v1/chat/completions": {"model": "demo/all", "messages": WORDS},
    "POST /v1/completions": {"model": "demo/all", "prompt": "a b c"},
    "POST /v1/embeddings": {"model": "demo/all", "input": "a b c"},
    "POST /v1/messages": {"model": "demo/all", "messages": WORDS, "max_tokens": 100},
    "POST /v1/messages/count_tokens": {"model": "demo/all", "messages": WORDS},
    "POST /admin/v1/catalogue": lambda world: json.loads(world.gateway.write_catalogue(MODELS).read_text()),
    "POST /admin/v1/accounts": {"id": "{op}", "currency": "CNY", "mode": "prepaid", "op": "{op}"},
    "POST /admin/v1/accounts/:id/limit": {"model": "demo/all", "budget_day": "100", "op": "{op}"},
    "POST /admin/v1/accounts/:id/credit": {"amount": "1", "op": "{op}"},
    "POST /admin/v1/accounts/:id/grant": {"amount": "1", "expires_at": "2198-01-01T00:00:00Z", **WHY},
    "POST /admin/v1/accounts/:id/adjust": {"amount": "0.5", **WHY},
    "POST /admin/v1/keys": {"account": "{account}", "op": "{op}"},
    "POST /admin/v1/keys/:id/limit": {"rpm": 1000, "op": "{op}"},
    "POST /admin/v1/keys/:id/update": {"expires_at": "2198-01-01T00:00:00Z", "op": "{op}"},
    "POST /admin/v1/keys/:id/rotate": {"op": "{op}"},
    "POST /admin/v1/keys/:id/hash": {"hash": "0" * 64, "pepper": "0" * 16, "op": "{op}"},
    "POST /admin/v1/keys/:id/revoke": {"op": "{op}"},
    "POST /admin/v1/webhooks": {"account": "{account}", "url": HOOK, "op": "{op}"},
    "POST /admin/v1/webhooks/:id/delete": {"op": "{op}"},
    "POST /admin/v1/webhooks/:id/test": {},
    "POST /admin/v1/usage/:id/refund": {"amount": "0.000000001", **WHY},
    "POST /admin/v1/journal/ship": {},
    "POST /admin/v1/journal/seal": {},
    "POST /admin/v1/journal/adopt": {"dir": "/nowhere"},
    "POST /admin/v1/journal/retire": {"writer": "w-0000000000000001", "reason": "a test", "by": "fin"},
    "POST /admin/v1/journal/rebuild": {},
    "POST /admin/v1/suspense/resolve": {"id": "a01:w-0000000000000001:7", "as": "dropped", "by": "fin", **WHY},
}

# Of what there is none, or what stands differently, where all is well.
WELL = {
    "GET /api/v1/finance/periods/:period/statements": 404, "GET /api/v1/finance/periods/:period/files/:name": 404,
    "POST /admin/v1/keys/:id/hash": 409, "POST /admin/v1/journal/adopt": 404, "POST /admin/v1/journal/retire": 404,
    "POST /admin/v1/suspense/resolve": 404,
}
# What no call, no key and no figure is needed for.
ALWAYS = {
    "GET /healthz": 200, "GET /.well-known/tollgate-jwks.json": 200, "GET /": 200, "GET /pages/:name": 200, "GET /metrics": 200,
    "GET /admin/v1/status": 200,
    **{name: WELL[name] for name in WELL if "finance" in name},
}
CALLS = [f"POST /v1/{name}" for name in ("chat/completions", "completions", "embeddings", "messages")]
OF_CATALOGUE = [*CALLS, "POST /v1/messages/count_tokens", "GET /v1/models", "GET /v1/models/:id+", "GET /readyz",
                "GET /api/v1/creator/events", "POST /admin/v1/catalogue", "GET /admin/v1/creators", "GET /admin/v1/creators/:id",
                "GET /admin/v1/models", "GET /admin/v1/models/:id+"]
# Changes, which wait until those of before are in all partitions; and the admin's requests that are none.
NO_CHANGES = ["POST /admin/v1/webhooks/:id/test", "POST /admin/v1/suspense/resolve", "POST /admin/v1/keys/:id/hash",
              "POST /admin/v1/journal/adopt", "POST /admin/v1/journal/retire"]
CHANGES = [str(route) for route in ROUTES if route.access == "LOCAL" and route.method == "POST" and str(route) not in NO_CHANGES]
# What asks the catalogue's partition besides: sums of all models.
OF_PARTITION = {
    **dict.fromkeys(CHANGES, 503), "GET /api/v1/creator/earnings": 503, "GET /api/v1/finance/periods": 503,
    "GET /admin/v1/suspense": 503,
}
# What is answered from files of this host, or refused before anything is looked up.
WITHOUT_REDIS = {
    **ALWAYS, "GET /admin/v1/archive/calls/:id": 200, "GET /admin/v1/journal": 200,
    **{name: WELL[name] for name in ("POST /admin/v1/keys/:id/hash", "POST /admin/v1/journal/adopt")},
}
# What the console knows once it has read it.
KNOWN = {name: 200 for name in ("GET /admin/v1/creators", "GET /admin/v1/models", "GET /admin/v1/models/:id+")}


@dataclass
class World:
    """A gateway with one of everything, so that where all is well each route has something to answer."""
    gateway: Served
    keys: dict[str, str]                                # what opens a route, by its access
    call: str = ""
    account: str = ""
    own: dict[Route, str] = field(default_factory=dict)     # the key or webhook that a route may change

    def renew(self) -> None:
        """An account, and a key or a webhook for each route that changes one."""
        self.account = self.make("accounts", {"id": "{op}", "currency": "CNY", "mode": "prepaid", "op": "{op}"})["account"]
        for route in ROUTES:
            if "/keys/:id" in route.pattern:
                self.own[route] = self.make("keys", BODIES["POST /admin/v1/keys"])["public_id"]
            elif "/webhooks/:id" in route.pattern:
                self.own[route] = self.make("webhooks", BODIES["POST /admin/v1/webhooks"])["webhook"]

    def wait_whole(self, what: str) -> None:
        """Until this can be listed: all partitions that it is read from are back."""
        wait_until(lambda: self.send("admin_routes", "GET", f"/admin/v1/{what}", {}).status == 200, f"{what} can be listed")

    def make(self, what: str, body: Any) -> Any:
        answer = self.send("admin_routes", "POST", f"/admin/v1/{what}", {}, self.fill(json.dumps(body)).encode())
        assert answer.done == 200, answer
        return json.loads(answer.body)

    def fill(self, text: str) -> str:
        return text.replace("{op}", f"op-routes-{next(numbers)}").replace("{account}", self.account)

    def target(self, route: Route) -> str:
        parts: list[str] = []
        for part in route.pattern.split("/"):
            parts.append(PARTS[parts[-1]](self, route) if part.startswith(":") else part)
        query = QUERIES.get(str(route))
        return "/".join(parts) + (f"?{self.fill(query)}" if query else "")

    def ask(self, route: Route, key: str | None = None, **fields: str) -> Answer:
        """Asks it with what opens it, or with `key`; "" is none."""
        key = self.keys.get(route.access, "") if key is None else key
        given = {name.replace("_", "-"): value for name, value in fields.items()}
        if key:
            given["authorization"] = f"Bearer {key}"
        body = None
        if route.method != "GET":
            sent = BODIES[str(route)]
            body = self.fill(json.dumps(sent(self) if callable(sent) else sent)).encode()
            given["content-type"] = "application/json"
        return self.send(route.table, route.method, self.target(route), given, body)

    def send(self, table: str, method: str, target: str, fields: dict[str, str], body: bytes | None = None) -> Answer:
        with contextlib.closing(self.connect(table)) as connection:
            connection.request(method, target, body, fields)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())

    def connect(self, table: str) -> http.client.HTTPConnection:
        if table == "admin_routes":
            connection = http.client.HTTPConnection("localhost")
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(PATIENCE * SLOWER)
            connection.sock.connect(str(self.gateway.state / "admin.sock"))
            return connection
        base = {"api_routes": self.gateway.api, "console_routes": self.gateway.console}[table]
        host, _, port = base.removeprefix("https://").rpartition(":")
        return http.client.HTTPSConnection(host, int(port), timeout=PATIENCE * SLOWER, context=self.gateway.tls)


@dataclass
class Answer:
    """One that came whole: http.client raises for others."""
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def done(self) -> int:
        """A change that is written, and on its way to Redis for long on a slow machine, is done."""
        return 200 if self.status == 202 else self.status


def respond(call: Call) -> None:
    if call.path.endswith("/embeddings"):
        embed(call)
    elif call.path.endswith("/chat/completions"):
        call.complete("an answer")
    else:
        call.reply(200, {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "scripted",
                         "choices": [{"index": 0, "text": "an answer", "finish_reason": "stop", "logprobs": None}],
                         "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}})


@pytest.fixture(scope="module")
def made(serve_for_module: Callable[[str], Served]) -> Iterator[World]:
    gateway = serve_for_module("routes")
    with Upstream() as upstream:
        upstream.respond = respond
        gateway.backends = {"scripted": {"kind": "openai", "url": upstream.url}}
        gateway.options = {"recovering_wait": "1 s", "webhook_private": True}
        gateway.start().set_up("100", MODELS)
        world = World(gateway, {"FINANCE": (gateway.state / "finance.token").read_text().strip(),
                                "CREATOR": gateway.cli_one("key", "create", "--creator", "demo")["secret"],
                                **{access: gateway.key for access in ("CALLER", "CALLER_CALLS", "CALLER_READS")}})
        with gateway.wire() as wire:
            world.call = wire.ask(wire.chat(BODIES["POST /v1/chat/completions"])).headers["x-request-id"]
        gateway.ship()
        gateway.cli("usage", "refund", world.call, "0.000000001", "--reason", "a test", "--op", "op-refund")
        assert world.send("admin_routes", "POST", "/admin/v1/journal/seal", {}, b"{}").status == 200, "so the archive has the call"
        yield world


@pytest.fixture
def world(made: World) -> World:
    """All is well, and it has what the routes may change."""
    if not made.gateway.redis.process:
        made.gateway.redis.start()
    if not made.gateway.process:
        made.gateway.serve()
    made.gateway.wait_ready()
    made.wait_whole("suspense")
    made.renew()
    made.gateway.ship()
    return made


def check_routes(world: World, expected: dict[str, int], default: int, unknown: int, unsure: tuple[str, ...] = ()) -> None:
    """Each is asked as its callers do, those of the API in both dialects, and all processes are those of before. `unknown`:
    what a key gets that nobody has."""
    gateway = world.gateway
    family, ended = sorted(gateway.children("")), gateway.log_text().count('"event":"child_')
    assert len(family) >= 4, "workers, the console, and who looks names up"
    assert not expected.keys() - set(map(str, ROUTES)), "there is no such route"
    asked = [(route, fields) for route in ROUTES for fields in ({}, {"anthropic_version": "2023-06-01"})
             if not fields or route.table == "api_routes"]
    asked.sort(key=lambda each: (str(each[0]) != FIRST, str(each[0]) == LAST))
    answers = [world.ask(asked[0][0])]
    with ThreadPoolExecutor(16) as pool:
        answers += pool.map(lambda each: world.ask(each[0], **each[1]), asked[1:-1])
    check_keys(world, unknown)
    answers.append(world.ask(asked[-1][0]))
    wrong = [f"{route}: {answer.status} {answer.body[:200]!r}" for (route, _), answer in zip(asked, answers, strict=True)
             if answer.done != expected.get(str(route), default) and str(route) not in unsure]
    assert not wrong, "\n".join(wrong)
    for (route, fields), answer in zip(asked, answers, strict=True):
        check_answer(world, route, answer, is_anthropic=bool(fields) or route.pattern.startswith("/v1/messages"))
    assert sorted(gateway.children("")) == family, "nobody has ended, and nobody was started again"
    assert gateway.log_text().count('"event":"child_') == ended


def check_answer(world: World, route: Route, answer: Answer, *, is_anthropic: bool) -> None:
    told = (str(route), answer)
    if "json" in answer.headers.get("content-type", ""):
        assert [json.loads(line) for line in answer.body.splitlines()], told
    if answer.status < 400:
        assert answer.body, told
        return
    said = json.loads(answer.body)
    if route.pattern == "/readyz":
        assert said["status"] == "not ready" and said["reason"], told
        return
    assert answer.headers["x-request-id"] and answer.headers["x-tollgate-code"], told
    if is_anthropic:
        assert said["type"] == "error" and said["request_id"] == answer.headers["x-request-id"], told
    else:
        assert set(said["error"]) == {"message", "type", "param", "code"}, told
    message = said["error"]["message"]
    assert len(message) > 15 and "\n" not in message and said["error"]["type"], told
    if route.table != "admin_routes":
        assert str(world.gateway.state.parent) not in message, "whoever is outside learns nothing of this host"
    if answer.status == 503:
        assert 1 <= int(answer.headers["retry-after"]) <= 60 and answer.headers["x-should-retry"] == "true", told


def check_keys(world: World, unknown: int) -> None:
    """What does not open a route: nothing, nonsense, what opens another; and a key that nobody has, once it can be looked up."""
    other = {world.keys["CALLER"]: world.keys["CREATOR"], world.keys["CREATOR"]: world.keys["CALLER"]}
    for route in ROUTES:
        opens = world.keys.get(route.access)
        if not opens:
            continue
        forged = opens[:-1] + ("a" if opens[-1] != "a" else "b")
        is_token = route.access == "FINANCE"
        for key, status in (("", 401), ("nonsense", 403 if is_token else 401), (other.get(opens, opens + "x"), 403),
                            (forged, 403 if is_token else unknown)):
            answer = world.ask(route, key)
            assert answer.status == status, (str(route), key[:8], answer)
            check_answer(world, route, answer, is_anthropic=route.pattern.startswith("/v1/messages"))


def test_where_all_is_well_every_route_has_an_answer(world: World) -> None:
    """Or what follows would show nothing."""
    tables = {route.table for route in ROUTES}
    assert tables == {"api_routes", "console_routes", "admin_routes"} and len(ROUTES) > 60
    check_routes(world, WELL, 200, 401)


@contextlib.contextmanager
def unreadable_catalogue(world: World) -> Iterator[None]:
    """Something else stands where it should be."""
    redis = world.gateway.redis
    redis.command("RENAME", "tg:{m00}:catalogue", "tg:{m00}:aside")
    redis.command("SET", "tg:{m00}:catalogue", "not to be read")
    try:
        yield
    finally:
        redis.command("RENAME", "tg:{m00}:aside", "tg:{m00}:catalogue")


@contextlib.contextmanager
def forbidden_catalogue(world: World) -> Iterator[None]:
    """The server lets the gateway have no key of the catalogue's partition."""
    redis = world.gateway.redis
    redis.command("ACL", "SETUSER", "default", "resetkeys", "~tg:{a*", "~tg:{m0[1-9]*", "~tg:{m[1-9]*")
    try:
        yield
    finally:
        redis.command("ACL", "SETUSER", "default", "allkeys")


@pytest.mark.parametrize(("away", "more"), [(unreadable_catalogue, {}), (forbidden_catalogue, OF_PARTITION)],
                         ids=["unreadable", "forbidden"])
def test_without_a_catalogue_every_route_answers(world: World, away: Callable[[World], Any], more: dict[str, int]) -> None:
    """A gateway that starts reads keys, and not the catalogue."""
    gateway = world.gateway
    gateway.stop_serving()
    with away(world):
        gateway.serve()
        world.wait_whole("accounts" if more else "suspense")
        check_routes(world, {**WELL, **dict.fromkeys(OF_CATALOGUE, 503), **more}, 200, 401)
    gateway.wait_ready()


def test_without_redis_from_the_start_every_route_answers(world: World) -> None:
    gateway = world.gateway
    gateway.stop_serving()
    gateway.redis.kill()
    gateway.serve()
    check_routes(world, WITHOUT_REDIS, 503, 503)


def test_without_redis_later_on_every_route_answers(world: World) -> None:
    world.gateway.redis.kill()
    check_routes(world, {**WITHOUT_REDIS, **KNOWN}, 503, 503)


def test_while_redis_hangs_every_route_answers(world: World) -> None:
    assert world.gateway.redis.process
    os.kill(world.gateway.redis.process.pid, signal.SIGSTOP)
    try:
        check_routes(world, {**WITHOUT_REDIS, **KNOWN}, 503, 503, unsure=("GET /readyz",))     # until the silence is noticed
    finally:
        os.kill(world.gateway.redis.process.pid, signal.SIGCONT)


def test_without_a_journal_every_route_answers(world: World) -> None:
    """No directory can be made where the journal should be."""
    gateway = world.gateway
    refused = [*CALLS, *CHANGES, *NO_CHANGES[1:], "GET /readyz", "GET /admin/v1/journal"]
    journal, aside = gateway.state / "journal", gateway.state / "aside"
    gateway.stop_serving()
    journal.rename(aside)
    journal.write_text("no directory")
    try:
        gateway.serve()
        world.wait_whole("suspense")
        check_routes(world, {**WELL, **dict.fromkeys(refused, 503)}, 200, 401)
    finally:
        journal.unlink()
        aside.rename(journal)
    gateway.wait_ready()
