"""What a page names is there: the files and headings that it links to, and the tests that it says show what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tollgate import TOP

PAGES = [*TOP.glob("*.md"), *(page for folder in ("docs", "billing", "tests", "conf") for page in (TOP / folder).rglob("*.md")
                              if "node_modules" not in page.parts)]
LAYERS = ("base", "net", "backends", "billing", "gateway", "flow")


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", without_code(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_a_test(name: str) -> bool:
    stem, _, end = name.partition(".")
    return any((TOP / "tests" / layer / f"{stem}.{kind}").is_file() for layer in LAYERS for kind in ([end] if end else ["c", "py"]))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_a_page_names_only_what_is_there(page: Path) -> None:
    text = without_code(page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} is not there"
        assert not anchor or anchor in anchors(there), f"{target}: no such heading"
    for path in re.findall(r"`(tests/[\w./-]+)", text):
        assert (TOP / path).exists() or is_a_test(path.rpartition("/")[2]), f"{path} is not there"
    for name in re.findall(r"`(test_\w+(?:\.py|\.c)?)`", text):
        assert is_a_test(name), f"{name} is no test"
