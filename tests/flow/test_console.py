"""The console: who may see what, and pages that a person can use."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

import money
from test_month_end import call, noon_of_the_second, after
from tollgate import PATIENCE, SLOWER, TOP, Dev, wait_until

CHROMIUM = "/usr/bin/chromium"
FIRST_LOAD_BYTES = 64 * 1024
SEEN_MS = 1000 * PATIENCE * SLOWER
expect.set_options(timeout=SEEN_MS)


class Desk:
    """A closed month and a running one, with calls in both."""

    def __init__(self, dev: Dev) -> None:
        self.dev = dev
        dev.start()
        call(dev, 9)
        (self.closed,) = {event["period"] for event in dev.events()}
        self.running = after(self.closed)
        dev.restart("--clock", noon_of_the_second(self.running))
        call(dev, 5)
        wait_until(lambda: not dev.cli_one("settle", "status", self.closed)["reasons"], "the month can be closed")
        dev.cli("settle", "close", self.closed)
        self.secrets = {"client": dev.ready["key"], "creator": dev.ready["creator_token"], "finance": dev.ready["finance_token"],
                        "operator": dev.ready["operator_token"]}

    def get(self, path: str, role: str) -> Any:
        return self.dev.get(f"/api/v1/{path}", self.secrets[role], self.dev.console)

    def fetch(self, path: str, role: str | None = None, fields: dict[str, str] | None = None) -> Any:
        given = {"authorization": f"Bearer {self.secrets[role]}"} if role else {}
        request = urllib.request.Request(self.dev.console + path, headers={**given, **(fields or {})})
        return urllib.request.urlopen(request, context=ssl.create_default_context(cafile=self.dev.ready["ca"]))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with Dev(tmp_path_factory.mktemp("desk") / "dev") as dev:
        yield Desk(dev)


# --- who may see what

ROUTES = {
    "client/balance": "client", "client/usage": "client", "client/calls": "client",
    "creator/earnings": "creator", "creator/events": "creator",
    "finance/periods": "finance", "finance/periods/:period/statements": "finance", "finance/periods/:period/files/:name": "finance",
}


def test_no_route_is_forgotten_here() -> None:
    rows = re.findall(r'\{"([A-Z]+)", "/api/v1/([^"]+)"', (TOP / "gateway" / "console_routes.c").read_text())
    assert sorted(rows) == sorted(("GET", path) for path in ROUTES)


@pytest.mark.parametrize("path", ROUTES)
def test_a_route_opens_to_its_role_and_to_no_other(desk: Desk, path: str) -> None:
    there = path.replace(":period", desk.closed).replace(":name", "statements.csv")
    for role, secret in [*desk.secrets.items(), ("nobody", None)]:
        status, answer = desk.dev.try_get(f"/api/v1/{there}", secret or "nothing", desk.dev.console)
        if role == ROUTES[path]:
            assert status == 200, answer
        else:
            assert status in (401, 403) and answer["error"]["message"], (role, status, answer)


def test_a_creator_sees_its_calls_and_not_who_made_them(desk: Desk) -> None:
    events = desk.get("creator/events?limit=1000", "creator")
    recorded = {event["request_id"]: event for event in desk.dev.events()}
    assert len(events["data"]) == 14 and not events["has_more"]
    for shown in events["data"]:
        event = recorded[shown["request_id"]]
        assert (shown["amount"], shown["units"], shown["outcome"]) == (event["amount"], event["units"], event["outcome"])
        assert "account" not in shown and "key" not in shown
    assert len({shown["client"] for shown in events["data"]}) == 1
    assert re.fullmatch("client-[0-9a-f]{8}", events["data"][0]["client"])
    assert desk.dev.account not in json.dumps(events).replace('"demo/echo"', "")


def test_pages_of_calls_join(desk: Desk) -> None:
    for path, role in (("creator/events", "creator"), ("client/calls", "client")):
        seen: list[str] = []
        page = desk.get(f"{path}?limit=5", role)
        while True:
            seen += [shown["request_id"] for shown in page["data"]]
            if not page["has_more"]:
                break
            page = desk.get(f"{path}?limit=5&before={seen[-1]}", role)
        assert seen == [event["request_id"] for event in sorted(
            desk.dev.events(), key=lambda event: (event["ended_at"], event["request_id"]), reverse=True)]


def test_a_client_sees_what_was_charged(desk: Desk) -> None:
    for period in (desk.closed, desk.running):
        charged = [Decimal(event["amount"]) for event in desk.dev.events() if event["period"] == period]
        (sums,) = desk.get(f"client/usage?period={period}", "client")["currencies"]
        assert sums["currency"] == "CNY"
        for rows in ([sums], sums["models"], sums["days"]):
            assert sum(row["calls"] for row in rows) == len(charged)
            assert sum(Decimal(row["amount"]) for row in rows) == sum(charged)
        assert [row["model"] for row in sums["models"]] == ["demo/echo"]
        assert all(row["day"].startswith(period) for row in sums["days"])
    assert desk.get("client/balance", "client") == desk.dev.get("/v1/balance", desk.dev.ready["key"])


def test_a_client_sees_what_is_left_of_each_budget(desk: Desk) -> None:
    began = datetime.now(UTC)
    key_id = desk.dev.ready["key"].split("-")[2]
    desk.dev.cli("account", "limit", desk.dev.account, "--budget-month", "50")
    desk.dev.cli("key", "limit", key_id, "--budget-day", "2.5", "--rpm", "500")
    desk.dev.cli("account", "limit", desk.dev.account, "--model", "demo/echo", "--budget-month", "40")
    balance = desk.get("client/balance", "client")
    assert balance["key"] == {"public_id": key_id, "rpm": 500, "tpm": None, "expires_at": None, "replaced_by": None}
    shown = {(one["of"], one["window"]): one for one in balance["budgets"]}
    assert shown.keys() == {("account", "month"), ("key", "day"), ("model", "month")}
    assert (shown["model", "month"]["model"], shown["model", "month"]["limit"]) == ("demo/echo", "40")
    assert shown["model", "month"]["spent"] == shown["account", "month"]["spent"], "all calls were of this model"
    month = desk.get("client/usage", "client")["currencies"][0]
    assert Decimal(shown["account", "month"]["spent"]) == Decimal(month["amount"])
    for one in balance["budgets"]:
        assert Decimal(one["left"]) == Decimal(one["limit"]) - Decimal(one["spent"]) - Decimal(one["held"])
        assert datetime.fromisoformat(one["ends_at"]) > began
    desk.dev.cli("account", "limit", desk.dev.account, "--budget-month", "0")
    desk.dev.cli("account", "limit", desk.dev.account, "--model", "demo/echo", "--budget-month", "0")
    desk.dev.cli("key", "limit", key_id, "--budget-day", "0", "--rpm", "0")
    assert desk.get("client/balance", "client")["budgets"] == []


def test_finance_sees_the_months_and_what_was_signed(desk: Desk) -> None:
    listed = desk.get("finance/periods", "finance")
    assert [(p["period"], p["state"]) for p in listed["periods"]] == [(desk.running, "open"), (desk.closed, "closed")]
    for shown in listed["periods"]:
        charged = [Decimal(event["amount"]) for event in desk.dev.events() if event["period"] == shown["period"]]
        assert shown["calls"] == len(charged)
        assert [(c["currency"], Decimal(c["gross"])) for c in shown["currencies"]] == [("CNY", sum(charged))]
    bundle = listed["periods"][1]["bundle"]
    for file in bundle["files"]:
        reply = desk.fetch(f"/api/v1/finance/periods/{desk.closed}/files/{file['name']}", "finance")
        content = reply.read()
        assert f'filename="tollgate-{desk.closed}-{file["name"]}"' in reply.headers["content-disposition"]
        if "sha256" in file:
            assert hashlib.sha256(content).hexdigest() == file["sha256"] and len(content) == file["bytes"]
        if file["name"] == "statements.csv":
            assert len(list(csv.DictReader(io.StringIO(content.decode())))) == bundle["statements"]
    told = desk.get(f"finance/periods/{desk.closed}/statements", "finance")["statements"]
    kept = (Path(desk.dev.state) / "archive" / "closes" / desk.closed / "statements.jsonl").read_text()
    assert told == [json.loads(line) for line in kept.splitlines()]


@pytest.mark.parametrize(("path", "status"), [
    ("finance/periods/{running}/statements", 404), ("finance/periods/{running}/files/terms.json", 404),
    ("finance/periods/{closed}/files/..%2Fterms.json", 404), ("finance/periods/{closed}/files/none.csv", 404),
    ("finance/periods/2026-13/statements", 400), ("finance/periods/..%2F..%2Fx/files/terms.json", 400),
])
def test_what_is_not_in_a_bundle_is_not_given(desk: Desk, path: str, status: int) -> None:
    found, answer = desk.dev.try_get("/api/v1/" + path.format(closed=desk.closed, running=desk.running),
                                     desk.secrets["finance"], desk.dev.console)
    assert found == status and answer["error"]["message"], answer


# --- the pages themselves

def test_pages_are_small_and_load_nothing_from_elsewhere(desk: Desk) -> None:
    page = desk.fetch("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    text = page.read().decode()
    total, waiting, seen = len(text), re.findall(r'(?:src|href)="(/[^"]+)"', text), set()
    while waiting:
        path = waiting.pop()
        if path in seen:
            continue
        seen.add(path)
        body = desk.fetch(path).read().decode()
        total += len(body)
        waiting += [f"/pages/{name}" for name in re.findall(r'from "\./([^"]+)"', body)]
        assert "http://" not in body.replace("http://www.w3.org/2000/svg", "") and "https://" not in body, path
    assert "/pages/finance.js" in seen and total < FIRST_LOAD_BYTES, (total, seen)
    tag = page.headers["etag"]
    with pytest.raises(urllib.error.HTTPError) as told:
        desk.fetch("/", fields={"if-none-match": tag})
    assert told.value.code == 304 and told.value.read() == b""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=SEEN_MS)
        yield opened
        opened.close()


def visit(browser: Browser, desk: Desk, role: str | None = None, **options: Any) -> Page:
    page = browser.new_context(ignore_https_errors=True, **options).new_page()
    page.set_default_timeout(SEEN_MS)
    page.goto(desk.dev.console + "/")
    if role:
        page.fill("#secret", desk.secrets[role])
        page.click("button.main")
        page.wait_for_selector(".figures")
    return page


def violations(page: Page) -> list[str]:
    return [f"{found['id']}: {node['html']}" for found in Axe().run(page).response["violations"] for node in found["nodes"]]


PAPER = {"light": "rgb(246, 247, 248)", "dark": "rgb(16, 22, 27)"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_system_says_light_or_dark_until_somebody_chooses(browser: Browser, desk: Desk, scheme: str) -> None:
    page = visit(browser, desk, "client", color_scheme=scheme)
    theme = page.get_by_label("Theme")
    expect(page.locator("body")).to_have_css("background-color", PAPER[scheme])
    for chosen in ("dark", "light"):
        theme.select_option(chosen)
        expect(page.locator("body")).to_have_css("background-color", PAPER[chosen])
    theme.select_option("")
    expect(page.locator("body")).to_have_css("background-color", PAPER[scheme])
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("role", [None, "client", "creator", "finance"])
def test_pages_can_be_read_by_everyone(browser: Browser, desk: Desk, role: str | None, scheme: str) -> None:
    for options in ({}, {"viewport": {"width": 390, "height": 800}}):
        page = visit(browser, desk, role, color_scheme=scheme, **options)
        for _ in show_languages(page):
            assert violations(page) == []
        page.context.close()


def show_languages(page: Page) -> Iterator[None]:
    """The page in one, and then in the other."""
    yield
    page.click("#language")
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    yield


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_closed_month_can_be_read_by_everyone(browser: Browser, desk: Desk, scheme: str) -> None:
    for options in ({}, {"viewport": {"width": 390, "height": 800}}):
        page = visit(browser, desk, "finance", color_scheme=scheme, **options)
        page.click(f"a[href='#{desk.closed}']")
        for _ in show_languages(page):
            expect(page.locator("button[aria-label$='statements.csv']")).to_be_visible()
            expect(page.get_by_text("demo", exact=True)).to_be_visible()
            assert violations(page) == []
        page.context.close()


def test_both_languages_have_every_sentence(browser: Browser, desk: Desk) -> None:
    page = visit(browser, desk)
    texts = page.evaluate("import('/pages/text.js').then((m) => m.texts)")
    assert texts["en"].keys() == texts["zh"].keys()
    assert texts["en"]["outcomes"].keys() == texts["zh"]["outcomes"].keys()
    assert not [name for name, text in texts["zh"].items() if text == texts["en"][name] and name != "outcomes"]
    page.context.close()


def test_earnings_grow_while_calls_come_in(browser: Browser, desk: Desk) -> None:
    page = visit(browser, desk, "creator")
    net = page.locator(".figure.first .value")
    before = desk.get("creator/earnings", "creator")["currencies"][0]
    expect(net).to_contain_text(before["net"])
    call(desk.dev, 3)
    after_it = wait_until(lambda: (now := desk.get("creator/earnings", "creator")["currencies"][0])["calls"] == before["calls"] + 3 and now,
                          "the calls are earned")
    expect(net).to_contain_text(after_it["net"])
    assert page.locator("tbody tr").count() >= 3
    page.context.close()


@pytest.mark.parametrize(("role", "path", "amount"), [("creator", "creator/earnings", "earned"), ("client", "client/usage", "amount")])
def test_each_day_has_a_bar_as_high_as_what_it_came_to(browser: Browser, desk: Desk, role: str, path: str, amount: str) -> None:
    page = visit(browser, desk, role)
    drawn = page.locator("svg.chart rect.bar").evaluate_all(
        "bars => bars.map(bar => [bar.querySelector('title').textContent, Number(bar.getAttribute('height'))])")
    page.context.close()
    days = {day["day"]: day[amount] for day in desk.get(path, role)["currencies"][0]["days"]}
    heights = {title.partition(": ")[0]: height for title, height in drawn}
    assert len(heights) == len(drawn) and days and days.keys() <= heights.keys()
    highest, most = max(heights.values()), max(Decimal(value) for value in days.values())
    assert highest > 100, "of the drawing's 200"
    figures = {Decimal(title.partition(": ")[2].replace(",", "")) for title, _ in drawn}
    assert {Decimal(value).quantize(Decimal("1e-6"), ROUND_DOWN) for value in days.values()} <= figures, "small amounts too"
    for day, height in heights.items():
        assert abs(height - highest * float(Decimal(days.get(day, "0")) / most)) <= 1, (day, drawn)


def test_finance_goes_to_a_closed_month_and_saves_a_file(browser: Browser, desk: Desk) -> None:
    page = visit(browser, desk, "finance")
    page.click(f"a[href='#{desk.closed}']")
    page.wait_for_selector("text=statements.csv")
    with page.expect_download() as saved:
        page.click("button[aria-label$='statements.csv']")
    assert saved.value.suggested_filename == f"tollgate-{desk.closed}-statements.csv"
    assert Path(saved.value.path()).read_bytes() == (
        Path(desk.dev.state) / "archive" / "closes" / desk.closed / "statements.csv").read_bytes()
    page.context.close()


def test_a_download_that_is_refused_is_told(browser: Browser, desk: Desk) -> None:
    page = visit(browser, desk, "finance")
    page.click(f"a[href='#{desk.closed}']")
    page.wait_for_selector("text=statements.csv")
    page.route("**/files/*", lambda route: route.fulfill(status=503, json={"error": {"message": "Not now", "code": None}}))
    page.evaluate("""() => {
        const status = document.getElementById("status");
        window.said = [];
        new MutationObserver(() => said.push(status.textContent)).observe(status, {childList: true});
    }""")
    page.click("button[aria-label$='statements.csv']")
    wait_until(lambda: "Not now" in page.evaluate("said"), "the page says why")
    page.context.close()


def test_a_wrong_key_is_told_and_forgotten(browser: Browser, desk: Desk) -> None:
    page = visit(browser, desk)
    for wrong in ("hello", "ck-tg-000000000000-00000000000000000000000000000000"):
        page.fill("#secret", wrong)
        page.click("button.main")
        wait_until(lambda: page.evaluate("sessionStorage.getItem('secret')") is None, "it is forgotten")
        expect(page.locator(".problem")).to_be_visible()
    page.context.close()


def test_signing_out_leaves_nothing(browser: Browser, desk: Desk) -> None:
    page = visit(browser, desk, "client")
    page.click("#sign-out")
    page.wait_for_selector("#secret")
    assert page.evaluate("sessionStorage.getItem('secret')") is None
    assert page.locator(".figures").count() == 0
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_budgets_are_bars_with_marks(browser: Browser, desk: Desk, scheme: str) -> None:
    key_id = desk.dev.ready["key"].split("-")[2]
    spent = Decimal(desk.get("client/usage", "client")["currencies"][0]["amount"])
    assert spent > 0
    desk.dev.cli("account", "limit", desk.dev.account, "--budget-month", money.spelled(spent * 100))
    desk.dev.cli("key", "limit", key_id, "--budget-month", money.spelled(spent))
    desk.dev.cli("account", "limit", desk.dev.account, "--model", "demo/echo", "--budget-month", money.spelled(spent * 2))
    try:
        page = visit(browser, desk, "client", color_scheme=scheme)
        bars = page.locator(".budget")
        expect(bars).to_have_count(3)
        expect(bars.nth(0).locator("progress")).to_have_attribute("value", "1.00")
        expect(bars.nth(1).locator("progress")).to_have_attribute("class", "over95")
        expect(bars.nth(1)).to_contain_text("95 %")
        expect(bars.nth(2).locator("progress")).to_have_attribute("value", "50.00")
        expect(bars.nth(2)).to_contain_text("demo/echo")
        box, mark = bars.nth(0).locator("progress").bounding_box(), bars.nth(0).locator(".at80").bounding_box()
        assert box and mark and abs(mark["x"] - box["x"] - 0.8 * box["width"]) < 2
        for lang in ("en", "zh-CN"):
            expect(page.locator("html")).to_have_attribute("lang", lang)
            assert violations(page) == []
            page.click("#language")
        page.context.close()
    finally:
        desk.dev.cli("account", "limit", desk.dev.account, "--budget-month", "0")
        desk.dev.cli("key", "limit", key_id, "--budget-month", "0")
        desk.dev.cli("account", "limit", desk.dev.account, "--model", "demo/echo", "--budget-month", "0")
