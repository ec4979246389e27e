"""A seed of the chaos harness says what happens: the same faults at the same times, the same answers of the model servers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tollgate

PLANS = """
from chaos import faults, ledgers
from chaos.upstream import plan
for kind in ledgers.KINDS:
    for one in faults.schedule({seed}, 10, kind, lambda fault: True):
        print(kind, one.line())
for trace in ("a", "b"):
    for model in ("quick", "words", "long", "wide"):
        print(trace, model, plan({seed}, trace, model, 300))
"""


def plans(seed: int, hashing: str) -> list[str]:
    """In a process of its own, whose hashes of strings are in another order."""
    done = subprocess.run(
        [sys.executable, "-c", PLANS.format(seed=seed)], capture_output=True, text=True, timeout=tollgate.PATIENCE, check=False,
        env={"PYTHONPATH": f"{tollgate.TOP}/tests/flow:{tollgate.TOP}/tests", "PYTHONHASHSEED": hashing, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("seed", [1, 2027])
def test_a_seed_gives_the_same_faults_and_answers_again(seed: int) -> None:
    first = plans(seed, "1")
    assert len(first) > 300
    assert plans(seed, "2") == first
    assert len(set(plans(seed + 1, "1")) & set(first)) < len(first) // 10
