"""The main job on real input: llama.cpp's server with real weights behind `tollgate dev --upstream`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

import money
from model_server import ModelServer
from tollgate import DEMO_PRICE, SLOWER, Dev, wait_until

PROMPT = [{"role": "system", "content": "You are a helpful assistant that answers briefly."},
          {"role": "user", "content": "Name three colours of the rainbow and say one sentence about each."}]


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer(timeout=120.0 * SLOWER) as own:
        yield own


@pytest.fixture(scope="module")
def gateway(server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with Dev(tmp_path_factory.mktemp("model") / "dev") as own:
        yield own.start("--upstream", server.url)


def event_of(gateway: Dev, request_id: str) -> Any:
    gateway.settle_down()
    gateway.ship()
    return gateway.get(f"/v1/usage/{request_id}")


def check(event: Any, usage: Any) -> None:
    """The event's disjoint units are the usage that the SDK was given."""
    units = event["units"]
    assert units["input_tokens"] + units.get("cached_input_tokens", 0) == usage.prompt_tokens
    assert units["output_tokens"] == usage.completion_tokens
    cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
    assert units.get("cached_input_tokens", 0) == cached
    assert set(event["provenance"].values()) == {"upstream"}
    assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, units)) != "0"
    assert event["outcome"] == "complete" and event["model"] == "demo/upstream"


def test_a_plain_answer_is_billed_by_the_models_own_count(gateway: Dev) -> None:
    raw = gateway.client().chat.completions.with_raw_response.create(
        model="demo/upstream", messages=PROMPT, max_tokens=24, temperature=0, seed=1)
    answer = raw.parse()
    assert answer.choices[0].message.content and 0 < answer.usage.completion_tokens <= 24
    event = event_of(gateway, raw.headers["x-request-id"])
    check(event, answer.usage)
    assert raw.headers["x-tollgate-cost"] == event["amount"]


def test_a_streamed_answer_is_billed_by_the_models_own_count(gateway: Dev) -> None:
    raw = gateway.client().chat.completions.with_raw_response.create(
        model="demo/upstream", messages=PROMPT, max_tokens=24, temperature=0, seed=1, stream=True,
        stream_options={"include_usage": True})
    *chunks, last = raw.parse()
    assert last.usage and not last.choices
    assert all(chunk.usage is None for chunk in chunks)
    check(event_of(gateway, raw.headers["x-request-id"]), last.usage)


def test_a_stream_is_billed_by_the_models_count_and_shows_none_to_who_did_not_ask(gateway: Dev) -> None:
    raw = gateway.client().chat.completions.with_raw_response.create(
        model="demo/upstream", messages=PROMPT, max_tokens=16, temperature=0, seed=1, stream=True)
    chunks = list(raw.parse())
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    event = event_of(gateway, raw.headers["x-request-id"])
    assert event["outcome"] == "complete" and set(event["provenance"].values()) == {"upstream"}
    assert 0 < event["units"]["output_tokens"] <= 16


def test_a_repeated_prompt_is_billed_as_cached(gateway: Dev) -> None:
    client = gateway.client()
    found = []
    for _ in range(4):      # two slots: one of them has the prompt by then
        raw = client.chat.completions.with_raw_response.create(
            model="demo/upstream", messages=PROMPT, max_tokens=4, temperature=0)
        answer = raw.parse()
        event = event_of(gateway, raw.headers["x-request-id"])
        check(event, answer.usage)
        found.append(event["units"].get("cached_input_tokens", 0))
    assert max(found) > 0, "the model never said that it had the prompt already"


def test_an_aborted_stream_stops_the_model_and_is_billed_for_what_was_handed_out(
        gateway: Dev, server: ModelServer) -> None:
    raw = gateway.client().chat.completions.with_raw_response.create(
        model="demo/upstream", messages=PROMPT, max_tokens=1500, stream=True, temperature=0.9,
        extra_body={"ignore_eos": True})
    seen = 0
    with raw.parse() as stream:
        for chunk in stream:
            seen += bool(chunk.choices[0].delta.content)
            if seen == 8:
                break
    wait_until(lambda: server.busy_slots() == 0, "the model is stopped")
    event = event_of(gateway, raw.headers["x-request-id"])
    assert event["outcome"] == "client_closed"
    assert event["provenance"]["output_tokens"] == "counted"
    assert seen <= event["units"]["output_tokens"] <= 1000
    assert event["amount"] == money.spelled(money.rate(DEMO_PRICE, event["units"]))


def test_a_model_that_dies_in_a_stream_is_an_error_and_only_what_came_is_billed(tmp_path: Path) -> None:
    with ModelServer(timeout=120.0 * SLOWER) as server, Dev(tmp_path / "dev") as gateway:
        gateway.start("--upstream", server.url)
        raw = gateway.client().chat.completions.with_raw_response.create(
            model="demo/upstream", messages=PROMPT, max_tokens=1500, stream=True, extra_body={"ignore_eos": True})
        seen = 0
        with pytest.raises(openai.APIError) as caught:
            for chunk in raw.parse():
                seen += bool(chunk.choices[0].delta.content)
                if seen == 5:
                    os.kill(server.pid, signal.SIGKILL)
        assert "model" in caught.value.message
        event = event_of(gateway, raw.headers["x-request-id"])
        assert event["outcome"] == "upstream_error"
        assert event["units"]["output_tokens"] == seen
        for stream in (False, True):
            with pytest.raises(openai.InternalServerError):
                gateway.client().chat.completions.create(model="demo/upstream", messages=PROMPT, stream=stream)
        assert gateway.balance() == 100 - money.total(gateway.events())
