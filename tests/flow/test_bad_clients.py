"""Clients that send what must be refused, hang up anywhere, or take their time."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import money
from tollgate import DEMO_PRICE, PATIENCE, Served, wait_until
from upstream import Call, Upstream
from wire import Reply, Wire, content_chunks, send_slowly

BODY = {"model": "demo/echo", "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served]) -> Iterator[Served]:
    own = serve_for_module("bad-clients")
    own.options = {"body_bytes": "64 KiB"}
    with Upstream() as upstream:
        upstream.respond = say_so_many_words
        own.upstream = upstream                                            # type: ignore[attr-defined]
        own.backends = {"echo": {"kind": "echo"}, "slow": {"kind": "echo", "delay": "250 ms"},
                        "told": {"kind": "openai", "url": upstream.url}}
        yield own.start().set_up("100", [{"id": f"demo/{name}", "backends": [{"name": name}]} for name in own.backends])


def say_so_many_words(call: Call) -> None:
    """As many as it was told, and then nothing until the gateway hangs up."""
    call.begin_stream()
    for word in call.json["messages"][0]["content"].split():
        call.word(word)
    call.wait_for_hang_up(PATIENCE)


@pytest.fixture(scope="module")
def hasty(serve_for_module: Callable[[str], Served]) -> Iterator[Served]:
    """Waits for nobody for long: for tests that let it wait, and no others."""
    own = serve_for_module("hasty")
    own.options = {"head_timeout": "1500 ms", "handshake_timeout": "1500 ms", "idle_timeout": "2 s"}
    yield own.start().set_up()


def connect_in_time(hasty: Served, *, answered: bool = False) -> Wire:
    """A connection that was made, and on which a call was answered, before it lost its patience with a slow machine."""
    def attempt() -> Wire | None:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            wire = stack.enter_context(hasty.wire())
            if not answered or wire.ask(wire.chat(BODY)).status == 200:
                stack.pop_all()
                return wire
        return None
    return wait_until(attempt, "a client is in time")


@pytest.fixture(autouse=True)
def it_serves_others_meanwhile_and_the_sums_hold(gateway: Served) -> Iterator[None]:
    before = gateway.workers()
    yield
    with gateway.wire() as wire:
        assert wire.ask(wire.chat(BODY)).status == 200
    assert gateway.workers() == before, "a worker died"


# --- must be refused. {host} and {key} are filled in; each is sent as it stands.

HEAD = "POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
CHUNKED = HEAD + "Transfer-Encoding: chunked\r\n\r\n"
GET = "GET /v1/models HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
REFUSED = {
    "two lengths": HEAD + "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{{}}",
    "two lengths in one": HEAD + "Content-Length: 2, 2\r\n\r\n{{}}",
    "a length beside chunked": HEAD + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and a length": HEAD + "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    "gzip then chunked": HEAD + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked then gzip": HEAD + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "identity": HEAD + "Transfer-Encoding: identity\r\n\r\n",
    "xchunked": HEAD + "Transfer-Encoding: xchunked\r\n\r\n",
    "chunked twice": HEAD + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare LF after the request line": "GET /v1/models HTTP/1.1\nHost: {host}\r\n\r\n",
    "a bare LF after a header": "GET /v1/models HTTP/1.1\r\nHost: {host}\nX: y\r\n\r\n",
    "a bare CR in a header": GET + "X: a\rb\r\n\r\n",
    "a folded header": GET + "X: a\r\n b\r\n\r\n",
    "a blank before the colon": GET + "X : a\r\n\r\n",
    "a length of +3": HEAD + "Content-Length: +3\r\n\r\n{{}} ",
    "a length of 0x3": HEAD + "Content-Length: 0x3\r\n\r\n{{}} ",
    "a length of -1": HEAD + "Content-Length: -1\r\n\r\n",
    "an empty length": HEAD + "Content-Length:\r\n\r\n",
    "an overflowing length": HEAD + "Content-Length: 18446744073709551618\r\n\r\n{{}}",
    "a chunk size of +2": CHUNKED + "+2\r\n{{}}\r\n0\r\n\r\n",
    "a chunk size of 0x2": CHUNKED + "0x2\r\n{{}}\r\n0\r\n\r\n",
    "an empty chunk size": CHUNKED + "\r\n{{}}\r\n0\r\n\r\n",
    "an overflowing chunk size": CHUNKED + "10000000000000002\r\n{{}}\r\n0\r\n\r\n",
    "a bare LF after a chunk size": CHUNKED + "2\n{{}}\r\n0\r\n\r\n",
    "no CRLF after a chunk": CHUNKED + "2\r\n{{}}XX0\r\n\r\n",
    "an empty header name": GET + ": x\r\n\r\n",
    "a line without a colon": GET + "hello\r\n\r\n",
    "NUL in a value": GET + "X: a\0b\r\n\r\n",
    "a control byte in a value": GET + "X: a\x01b\r\n\r\n",
    "NUL in the target": "GET /v1/\0models HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "a blank in the target": "GET /v1/ models HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "no Host": "GET /v1/models HTTP/1.1\r\nAuthorization: Bearer {key}\r\n\r\n",
    "two Hosts": GET + "Host: {host}\r\n\r\n",
    "an authority that is not Host": "GET http://other.example/v1/models HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "HTTP/2.0": "GET /v1/models HTTP/2.0\r\nHost: {host}\r\n\r\n",
    "HTTP/0.9": "GET /v1/models\r\n\r\n",
    "a lower-case version": "GET /v1/models http/1.1\r\nHost: {host}\r\n\r\n",
    "no method": " /v1/models HTTP/1.1\r\nHost: {host}\r\n\r\n",
    "CONNECT": "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n",
    "another protocol": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello hello hello\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_a_clear_error_and_closed(gateway: Served, name: str) -> None:
    with gateway.wire() as wire:
        reply = wire.ask(REFUSED[name].format(host=wire.host, key=wire.key).encode("latin-1"))
        assert 400 <= reply.status < 506 and reply.status not in (401, 403, 404), reply
        assert reply.is_whole and reply.error["message"] and reply.headers["x-request-id"], reply
        assert reply.headers["connection"].lower() == "close"
        assert wire.is_closed(), "what follows what could not be parsed must not be read as a request"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_speaks_http_to_a_port_of_https_is_told(gateway: Served, method: str) -> None:
    for port in (gateway.port, gateway.console_port):
        asked = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        asked.request(method, "/v1/models", b"x" * 100_000 if method == "POST" else None, {"Authorization": f"Bearer {gateway.key}"})
        reply = asked.getresponse()
        assert (reply.status, reply.getheader("connection")) == (400, "close")
        assert reply.read() == b"This port speaks HTTPS: begin the base URL with https://.\n"
        asked.close()


def test_trailers_are_not_headers(gateway: Served) -> None:
    with gateway.wire("nothing") as wire:
        data = json.dumps(BODY)
        reply = wire.ask(wire.head("POST", "/v1/chat/completions",
                                   {"Authorization": None, "Transfer-Encoding": "chunked"}) +
                         f"{len(data):x}\r\n{data}\r\n0\r\nAuthorization: Bearer {gateway.key}\r\n\r\n".encode())
    assert reply.status == 401


def test_a_chunked_body_is_read_like_any_other(gateway: Served) -> None:
    data = json.dumps(BODY).encode()
    with gateway.wire() as wire:
        wire.send(wire.head("POST", "/v1/chat/completions", {"Transfer-Encoding": "chunked"}))
        for start in range(0, len(data), 7):
            part = data[start:start + 7]
            wire.send(f"{len(part):X};name=value\r\n".encode() + part + b"\r\n")
        reply = wire.ask(b"0\r\n\r\n")
        assert reply.status == 200 and reply.json()["choices"][0]["message"]["content"] == "one two three"
        assert wire.ask(wire.chat(BODY)).status == 200


def test_a_chunked_body_over_the_limit_gets_413(gateway: Served) -> None:
    with gateway.wire() as wire:
        reply = wire.ask(wire.head("POST", "/v1/chat/completions", {"Transfer-Encoding": "chunked"}) +
                         3 * (b"8000\r\n" + b" " * 0x8000 + b"\r\n"))
    assert reply.status == 413 and reply.error["message"], reply


# --- hanging up

def test_a_client_that_hangs_up_after_any_byte_of_its_request_harms_nobody(gateway: Served) -> None:
    gateway.settle_down()
    gateway.ship()
    before = len(gateway.events("demo"))

    def send_part(size: int) -> None:
        with gateway.wire() as wire:
            wire.send(wire.chat(BODY)[:size])
            if size % 2:
                wire.reset()

    with gateway.wire() as wire:
        whole = len(wire.chat(BODY))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(send_part, range(0, whole)))
    gateway.settle_down()
    assert len(gateway.events("demo")) == before, "a request that never was whole has been billed"


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_hangs_up_at_any_moment_of_its_answer_is_billed_for_what_it_took(gateway: Served, how: str) -> None:
    def take(count: int) -> tuple[str, int]:
        """Reads until so many content chunks came. There are no more of them; of none, there is one that may be on its way."""
        words = "w " * max(count, 1)
        with gateway.wire() as wire:
            wire.send(wire.chat({"model": "demo/told", "stream": True, "messages": [{"role": "user", "content": words}]}))
            reply = Reply()
            for _ in wire.stream(reply):
                if content_chunks(reply.events()) >= count:
                    break
            if how == "reset":
                wire.reset()
        return reply.headers["x-request-id"], content_chunks(reply.events())

    with ThreadPoolExecutor(10) as pool:
        taken = dict(pool.map(take, range(0, 20)))
    gateway.settle_down()
    events = {event["request_id"]: event for event in gateway.events("demo")}
    for request_id, count in taken.items():
        event = events[request_id]
        assert count <= event["units"].get("output_tokens", 0) <= max(count, 1), (count, event)
        assert event["outcome"] == "client_closed"
        assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))


def test_a_plain_answer_that_nobody_waited_for_costs_nothing(gateway: Served) -> None:
    account, key = gateway.new_account("1")
    body = {**BODY, "model": "demo/slow", "messages": [{"role": "user", "content": "w " * 1000}]}
    with gateway.wire(key) as wire:
        wire.send(wire.chat(body))
        wait_until(lambda: gateway.account_state(account)["open_calls"] == 1, "it runs")
    state = gateway.settle_down(account)
    assert state["balance"] == "1"
    (event,) = gateway.events(account)
    assert (event["outcome"], event["amount"]) == ("client_closed", "0")


def test_a_client_that_ends_its_side_after_its_request_leaves_no_hold(gateway: Served) -> None:
    account, key = gateway.new_account("1")
    with gateway.wire(key) as wire:
        wire.send(wire.chat(BODY))
        wire.half_close()
        reply = wire.reply()
    gateway.settle_down(account)
    billed = [event for event in gateway.events(account) if event["outcome"] == "complete"]
    assert not (reply.is_whole and not billed), "it was answered and not billed"


# --- taking their time

def test_a_head_that_comes_too_slowly_is_given_up(hasty: Served) -> None:
    with connect_in_time(hasty) as wire:
        assert send_slowly(wire, wire.chat(BODY), 0.05) < len(wire.chat(BODY))


def test_a_connection_that_says_nothing_is_given_up(hasty: Served) -> None:
    with connect_in_time(hasty) as wire:
        assert wire.is_closed()


def test_a_handshake_that_never_comes_is_given_up(hasty: Served) -> None:
    for start in (b"", b"\x16\x03\x01"):
        with socket.create_connection(hasty.address, PATIENCE) as raw:
            answer = b""
            with contextlib.suppress(ConnectionError):
                raw.sendall(start)
                while more := raw.recv(1000):
                    answer += more
            assert len(answer) < 100 and b"HTTP" not in answer


def test_an_idle_connection_is_closed_cleanly(hasty: Served) -> None:
    with connect_in_time(hasty, answered=True) as wire:
        assert wire.is_closed()


def test_a_request_in_small_pieces_is_the_same_request(gateway: Served) -> None:
    with gateway.wire() as wire:
        send_slowly(wire, wire.chat(BODY), 0.001)
        assert wire.reply().json()["choices"][0]["message"]["content"] == "one two three"


def test_a_client_that_reads_slowly_gets_everything(gateway: Served) -> None:
    words = " ".join(f"w{number}" for number in range(4000))
    account, key = gateway.new_account("1")
    with gateway.wire(key) as wire:
        wire.send(wire.chat({**BODY, "stream": True, "messages": [{"role": "user", "content": words}]}))
        time.sleep(1)
        reply = Reply()
        for number, _ in enumerate(wire.stream(reply)):
            if number % 200 == 0:
                time.sleep(0.01)
    assert reply.is_whole and content_chunks(reply.events()) == 4000
    assert gateway.settle_down(account)["balance"] == money.spelled(
        1 - money.rate(DEMO_PRICE, {"input_tokens": 4000, "output_tokens": 4000}))


# --- lawful, if unusual

def test_pipelined_requests_are_answered_in_order(gateway: Served) -> None:
    with gateway.wire() as wire:
        wire.send(b"".join(wire.chat({**BODY, "messages": [{"role": "user", "content": f"number {number}"}]})
                           for number in range(8)))
        said = [wire.reply().json()["choices"][0]["message"]["content"] for _ in range(8)]
    assert said == [f"number {number}" for number in range(8)]


def test_expect_100_continue_is_answered_after_the_key_was_checked(gateway: Served) -> None:
    data = json.dumps(BODY).encode()
    fields = {"Content-Length": len(data), "Expect": "100-continue"}
    with gateway.wire() as wire:
        wire.send(wire.head("POST", "/v1/chat/completions", fields))
        assert wire.interim() == 100
        assert wire.ask(data).status == 200
    with gateway.wire("sk-tg-wrong") as wire:
        assert wire.ask(wire.head("POST", "/v1/chat/completions", fields)).status == 401
    with gateway.wire() as wire:
        fields["Content-Length"] = 10 ** 9
        assert wire.ask(wire.head("POST", "/v1/chat/completions", fields)).status == 413


def test_connection_close_is_echoed_and_the_answer_is_whole(gateway: Served) -> None:
    for stream in (False, True):
        with gateway.wire() as wire:
            reply = wire.ask(wire.chat({**BODY, "stream": stream}, {"Connection": "close"}))
            assert reply.status == 200 and reply.is_whole and reply.headers["connection"].lower() == "close"
            assert wire.is_closed()


def test_http_1_0_gets_an_answer_and_a_close(gateway: Served) -> None:
    data = json.dumps({**BODY, "stream": True}).encode()
    with gateway.wire() as wire:
        reply = wire.ask(wire.head("POST", "/v1/chat/completions", {"Content-Length": len(data)}, "HTTP/1.0") + data)
    assert reply.status == 200 and "transfer-encoding" not in reply.headers and reply.events()[-1] == "[DONE]"


def test_many_connections_at_once_are_all_served(gateway: Served) -> None:
    wires: list[Wire] = []
    try:
        wires = [gateway.wire() for _ in range(150)]
        for wire in wires:
            wire.send(wire.chat(BODY))
        assert {wire.reply().status for wire in wires} == {200}
    finally:
        for wire in wires:
            wire.close()


def test_the_accounts_of_all_this_add_up(gateway: Served) -> None:
    gateway.settle_down()
    assert gateway.balance() == 100 - money.total(gateway.events("demo"))
