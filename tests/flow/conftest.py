"""Fixtures of the flows: running gateways, and their logs when a test fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import tollgate
from tollgate import Dev, Served
from upstream import Upstream


def pytest_configure(config: pytest.Config) -> None:
    if missing := tollgate.missing_programs():
        pytest.exit(f"the flows need {', '.join(missing)}: sh conf/install-deps --test", 2)
    if not Path(tollgate.BINARY).is_file():
        pytest.exit(f"there is no {tollgate.BINARY}: build it, or name it in $TOLLGATE", 2)


# What takes longest begins first, so that no process is left with it at the end.
LONGEST = ("test_soak", "test_lost_host", "test_limits", "test_redis_away", "test_idempotency_lost", "test_worker_killed", "test_cluster",
           "test_rebuild", "test_redis_kinds", "test_redis_lost", "test_bad_clients", "test_bounded", "test_month_end", "test_idempotency")
# Files whose tests share nothing.
ANYWHERE = ("test_lost_host",)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Several processes (-n) take a file each, as its tests share what they started."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return nodeid if Path(file).stem in ANYWHERE else file
    return ByFile(config, log)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        report.sections.extend(tollgate.logs())


ZONE = timezone(timedelta(hours=8))             # of the tests' installations: their days and months
OF_A_DAY = timedelta(minutes=3)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What a test does today is still of today, and of this month, when it looks: it begins in the next day where this one
    is about to end."""
    now = datetime.now(ZONE)
    ends = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if ends - now < OF_A_DAY:
        time.sleep((ends - now).total_seconds())


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    tollgate.forget_stopped()


@pytest.fixture(scope="session")
def shared_upstream() -> Iterator[Upstream]:
    with Upstream() as shared:
        yield shared


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory, shared_upstream: Upstream) -> Iterator[Dev]:
    """One `tollgate dev` for all flows that only call it; nobody restarts or breaks this one."""
    with Dev(tmp_path_factory.mktemp("shared") / "dev") as dev:
        yield dev.start("--upstream", shared_upstream.url)


@pytest.fixture
def scripted(gateway: Dev, shared_upstream: Upstream) -> Iterator[Upstream]:
    """The server behind demo/upstream of the shared gateway; the test says how it responds."""
    answers = shared_upstream.respond
    yield shared_upstream
    shared_upstream.respond = answers


@pytest.fixture
def dev(tmp_path: Path) -> Iterator[Dev]:
    """A `tollgate dev` of the test's own, not started yet."""
    with Dev(tmp_path / "dev") as own:
        yield own


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tollgate.make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def served(tmp_path: Path, certificate: tuple[Path, Path]) -> Iterator[Served]:
    """A `tollgate serve` of the test's own with its own Redis, not started yet."""
    with Served(tmp_path / "served", certificate) as own:
        yield own


@pytest.fixture
def second(tmp_path: Path, certificate: tuple[Path, Path], served: Served) -> Iterator[Served]:
    """Another host for `served`: `second.join(served).serve()` once that has started."""
    with Served(tmp_path / "second", certificate) as own:
        yield own


@pytest.fixture(scope="module")
def serve_for_module(tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]) \
        -> Iterator[Callable[[str], Served]]:
    """Makes a `Served` that a whole file shares."""
    made: list[Served] = []

    def make(name: str) -> Served:
        made.append(Served(tmp_path_factory.mktemp(name) / name, certificate))
        return made[-1]
    yield make
    for own in made:
        own.stop()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as own:
        yield own
