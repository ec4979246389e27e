"""Model servers over TLS: who is believed to be one, what is sent to it, and what of its answers is whole."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tollgate import Served, make_certificate
from upstream import Call, Upstream, chunk, sse, usage_chunk
from wire import Reply, content_chunks

MESSAGES: list[Any] = [{"role": "user", "content": "hello upstream"}]
KEY = "upstream-key-" + "0123456789abcdef" * 100        # as long as a signed token


class Secure(Upstream):
    """A scripted server over TLS that notes which name each client asked for."""

    def __init__(self, certificate: tuple[Path, Path]) -> None:
        self.names: list[str | None] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        super().__init__(tls=context)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folders = {name: tmp_path_factory.mktemp(name) for name in ("own", "other", "named")}
    own = make_certificate(folders["own"])
    other = make_certificate(folders["other"], "DNS:elsewhere.example")
    with Secure(own) as good, Secure(other) as misnamed, Upstream() as plain:
        yield {"good": good, "misnamed": misnamed, "plain": plain, "ca": str(own[0]), "other ca": str(other[0])}


@pytest.fixture(scope="module")
def gateway(serve_for_module: Callable[[str], Served], servers: dict[str, Any]) -> Iterator[Served]:
    served = serve_for_module("upstream-tls")
    key_file = served.state.parent / "upstream.key"
    key_file.write_text(KEY + "\n")
    key_file.chmod(0o600)
    good = {"kind": "openai", "url": servers["good"].url, "ca_file": servers["ca"], "key_file": str(key_file),
            "breaker_failures": 0}
    served.options = {"workers": 1}
    served.backends = {
        "good": good,
        "fresh": {**good, "keepalive_connections": 0},
        "system": {name: value for name, value in good.items() if name != "ca_file"},
        "stranger": {**good, "ca_file": servers["other ca"]},
        "misnamed": {**good, "url": servers["misnamed"].url, "ca_file": servers["other ca"]},
        "plain": {**good, "url": servers["plain"].url.replace("http:", "https:"), "connect_timeout": "500 ms"},
    }
    models = [{"id": f"demo/{name}", "backends": [{"name": name}]} for name in served.backends]
    models.append({"id": "demo/spare", "backends": [{"name": "stranger"}, {"name": "good", "priority": 1}]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", servers["ca"])        # the system's authorities, as OpenSSL finds them
        served.start()
    yield served.set_up("100", models)


@pytest.fixture(autouse=True)
def fresh(servers: dict[str, Any]) -> None:
    for name in ("good", "misnamed", "plain"):
        servers[name].calls.clear()
        servers[name].respond = lambda call: call.stream(["fine"]) if call.json["stream"] else call.complete("fine")


def ask(gateway: Served, model: str, *, stream: bool = False) -> Reply:
    with gateway.wire() as wire:
        return wire.ask(wire.chat({"model": model, "messages": MESSAGES, "stream": stream}))


def event_of(gateway: Served, reply: Reply) -> Any:
    gateway.ship()
    (event,) = [event for event in gateway.events() if event["request_id"] == reply.headers["x-request-id"]]
    return event


@pytest.mark.parametrize("model", ["demo/good", "demo/system"])
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_verified_server_is_called_by_its_name_and_with_our_key(
        gateway: Served, servers: dict[str, Any], model: str, stream: bool) -> None:
    versions = []

    def respond(call: Call) -> None:
        versions.append(call.connection.version())
        call.stream(["fine"]) if stream else call.complete("fine")
    servers["good"].respond = respond
    reply = ask(gateway, model, stream=stream)
    assert reply.status == 200 and reply.is_whole
    (call,) = servers["good"].calls
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert versions == ["TLSv1.3"]
    assert set(servers["good"].names) == {"localhost"}


def test_a_new_connection_resumes_the_session_of_an_earlier_one(gateway: Served, servers: dict[str, Any]) -> None:
    reused = []

    def respond(call: Call) -> None:
        reused.append(call.connection.session_reused)
        call.complete("fine")
    servers["good"].respond = respond
    for _ in range(3):
        assert ask(gateway, "demo/fresh").status == 200
    assert reused[1:] == [True, True]


@pytest.mark.parametrize("model,code,why", [
    ("demo/stranger", "upstream_unreachable", "certificate is not accepted: self-signed certificate"),
    ("demo/misnamed", "upstream_unreachable", "certificate is not accepted: hostname mismatch"),
    ("demo/plain", "upstream_timeout", "did not take the connection within")])
def test_a_server_that_cannot_prove_its_name_is_sent_nothing(
        gateway: Served, servers: dict[str, Any], model: str, code: str, why: str) -> None:
    reply = ask(gateway, model)
    assert (reply.status, reply.headers["x-tollgate-code"]) == (504 if code == "upstream_timeout" else 503, code)
    assert not any(servers[name].calls for name in ("good", "misnamed", "plain"))
    assert why in gateway.log_text()
    assert event_of(gateway, reply)["amount"] == "0"


def test_another_server_is_asked_instead_of_one_that_cannot_prove_its_name(gateway: Served) -> None:
    reply = ask(gateway, "demo/spare", stream=True)
    assert reply.status == 200 and event_of(gateway, reply)["backend"] == "good"


def test_a_stream_in_records_of_one_byte_is_whole(gateway: Served, servers: dict[str, Any]) -> None:
    def respond(call: Call) -> None:
        call.begin_stream()
        for byte in sse(chunk("a ")) + sse(chunk("b", "stop")) + sse(usage_chunk((1234, 56))) + "data: [DONE]\n\n":
            call.write(byte)
        call.end_stream()
    servers["good"].respond = respond
    reply = ask(gateway, "demo/good", stream=True)
    assert reply.is_whole and content_chunks(reply.events()) == 2
    assert event_of(gateway, reply)["units"] == {"input_tokens": 1234, "output_tokens": 56}


def test_an_answer_that_ends_without_the_end_of_tls_is_cut(gateway: Served, servers: dict[str, Any]) -> None:
    """Anybody on the way could have ended the connection; only the server itself can say that it is over."""
    body = b'{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"content":"a"},"finish_reason":"stop"}]}'

    def respond(call: Call) -> None:
        call.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n" + body)
        if is_ended:
            call.connection.settimeout(5)
            call.connection.unwrap()
    servers["good"].respond = respond
    for is_ended in (True, False):
        reply = ask(gateway, "demo/good")
        assert reply.status == (200 if is_ended else 502)
        assert (event_of(gateway, reply)["amount"] != "0") == is_ended


def test_a_reload_reads_the_key_anew(gateway: Served, servers: dict[str, Any]) -> None:
    key_file = Path(gateway.backends["good"]["key_file"])
    for key in ("another-key", KEY):
        key_file.write_text(key + "\n")
        gateway.reload()
        assert ask(gateway, "demo/good").status == 200
        assert servers["good"].calls[-1].headers["authorization"] == f"Bearer {key}"


def test_the_key_is_in_no_log_and_no_answer(gateway: Served, servers: dict[str, Any]) -> None:
    servers["good"].respond = lambda call: call.reply(401, {"error": {"message": call.headers["authorization"]}})
    reply = ask(gateway, "demo/good")
    assert reply.status == 502 and KEY[:40] not in str(reply.body)
    assert KEY[:40] not in gateway.log_text() and KEY[:40] not in gateway.config.read_text()
