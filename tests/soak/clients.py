"""The clients: official SDKs, each with a key and a way of its own, which call until they are told to stop."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import openai

from tollgate import Gateway

MODEL = "demo/small"
PATIENT = 3600.0        # seconds: a call waits for its turn at a slow model
WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "islet", "jetty")
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


@dataclass(frozen=True)
class Seen:
    """One answer as its client was given it."""

    account: str
    request_id: str
    units: dict[str, int]       # disjoint, as they are priced
    cost: str | None            # of x-tollgate-cost, which a plain answer carries


@dataclass(frozen=True)
class Way:
    """How a client calls: returns what it saw, and how often its SDK asked again."""

    name: str
    call: Callable[[Client], tuple[Seen, int]]


class Client(threading.Thread):
    """Calls one after the other on what connections its SDK keeps. `errors` is what it was told instead of answers."""

    def __init__(self, gateway: Gateway, number: int, account: str, key: str, over: threading.Event) -> None:
        super().__init__(name=f"client {number}", daemon=True)
        self.way = WAYS[number % len(WAYS)]
        self.retries = 0 if number // len(WAYS) % 2 == 0 else 2
        self.account, self.over = account, over
        self.draw = random.Random(number)
        self.rests = number % 3 == 0            # lets its connection lie idle between calls
        options: dict[str, Any] = {"api_key": key, "max_retries": self.retries, "timeout": PATIENT}
        http = httpx2.Client(verify=gateway.tls, trust_env=False, timeout=PATIENT)
        self.openai = openai.OpenAI(base_url=f"{gateway.api}/v1", http_client=http, **options)
        self.anthropic = anthropic.Anthropic(base_url=gateway.api, http_client=http, **options)
        self.seen: list[Seen] = []
        self.errors: list[str] = []
        self.slowest_s = 0.0

    def run(self) -> None:
        while not self.over.is_set():
            began = time.monotonic()
            try:
                seen, retried = self.way.call(self)
                self.seen.append(seen)
                if retried:
                    self.errors.append(f"{self._where()}: {seen.request_id} was asked for {retried + 1} times")
            except Exception:       # noqa: BLE001 - whatever a client is told is a finding
                self.errors.append(f"{self._where()}: {traceback.format_exc(limit=-3)}")
                self.over.wait(1)
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            if self.rests:
                self.over.wait(self.draw.uniform(0, 3))

    def _where(self) -> str:
        return f"{time.strftime('%H:%M:%S')} {self.name} ({self.way.name}, {self.retries} retries)"

    def ask(self) -> str:
        return f"Say one thing about {self.draw.choice(WORDS)} and {self.draw.choice(WORDS)}."


# --- chat completions


def chat_units(usage: Any) -> dict[str, int]:
    cached = (usage.prompt_tokens_details.cached_tokens or 0) if usage.prompt_tokens_details else 0
    return {"input_tokens": usage.prompt_tokens - cached, "cached_input_tokens": cached,
            "output_tokens": usage.completion_tokens}


def chat(client: Client, **more: Any) -> tuple[Seen, int]:
    question = [{"role": "user", "content": client.ask()}]
    options = {"model": MODEL, "max_tokens": 8, "messages": question, **more}
    raw = client.openai.chat.completions.with_raw_response.create(**options)
    if options.get("stream"):
        *chunks, last = raw.parse()
        assert chunks[-1].choices[0].finish_reason, "the stream ends without a reason"
        usage = last.usage
    else:
        answer = raw.parse()
        assert answer.choices[0].finish_reason, "the answer has no reason"
        usage = answer.usage
    return Seen(client.account, raw.headers["x-request-id"], chat_units(usage),
                raw.headers.get("x-tollgate-cost")), raw.retries_taken


def chat_plain(client: Client) -> tuple[Seen, int]:
    return chat(client)


def chat_streamed(client: Client) -> tuple[Seen, int]:
    return chat(client, stream=True, stream_options={"include_usage": True})


def chat_tools(client: Client) -> tuple[Seen, int]:
    return chat(client, **chat_with_tools(client))


def chat_tools_streamed(client: Client) -> tuple[Seen, int]:
    return chat(client, stream=True, stream_options={"include_usage": True}, **chat_with_tools(client))


def chat_with_tools(client: Client) -> dict[str, Any]:
    """A conversation in which a tool has been called."""
    called = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
    return {"tools": [{"type": "function", "function": {"name": "weather", "parameters": WEATHER}}],
            "messages": [{"role": "user", "content": client.ask()},
                         {"role": "assistant", "content": None, "tool_calls": [called]},
                         {"role": "tool", "tool_call_id": "call_1", "content": client.draw.choice(WORDS)}]}


# --- messages


def message_units(usage: Any) -> dict[str, int]:
    return {"input_tokens": usage.input_tokens, "cached_input_tokens": usage.cache_read_input_tokens or 0,
            "output_tokens": usage.output_tokens}


def message(client: Client, **more: Any) -> tuple[Seen, int]:
    question = [{"role": "user", "content": client.ask()}]
    raw = client.anthropic.messages.with_raw_response.create(
        **{"model": MODEL, "max_tokens": 8, "messages": question, **more})
    if more.get("stream"):
        *_, last_delta, stop = raw.parse()
        assert (last_delta.type, stop.type) == ("message_delta", "message_stop"), "the stream has another end"
        usage, reason = last_delta.usage, last_delta.delta.stop_reason
    else:
        answer = raw.parse()
        usage, reason = answer.usage, answer.stop_reason
    assert reason, "the answer has no reason"
    return Seen(client.account, raw.headers["request-id"], message_units(usage),
                raw.headers.get("x-tollgate-cost")), raw.retries_taken


def message_plain(client: Client) -> tuple[Seen, int]:
    return message(client)


def message_streamed(client: Client) -> tuple[Seen, int]:
    return message(client, stream=True)


def message_tools(client: Client) -> tuple[Seen, int]:
    return message(client, **message_with_tools(client))


def message_tools_streamed(client: Client) -> tuple[Seen, int]:
    return message(client, stream=True, **message_with_tools(client))


def message_with_tools(client: Client) -> dict[str, Any]:
    use = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": client.draw.choice(WORDS)}
    return {"tools": [{"name": "weather", "input_schema": WEATHER}],
            "messages": [{"role": "user", "content": client.ask()}, {"role": "assistant", "content": [use]},
                         {"role": "user", "content": [result]}]}


WAYS = (Way("chat", chat_plain), Way("messages", message_plain),
        Way("chat, streamed", chat_streamed), Way("messages, streamed", message_streamed),
        Way("chat, tools", chat_tools), Way("messages, tools", message_tools),
        Way("chat, tools, streamed", chat_tools_streamed), Way("messages, tools, streamed", message_tools_streamed))
