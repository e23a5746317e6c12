"""Twenty cases of bad input as processes of their own: what only the end of a process shows (its code, its streams)."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.bad_inputs import (
    test_options_experiments,
    test_options_models,
    test_options_results,
    test_options_setup,
    test_settings,
    test_strange_words,
)
from tests.bad_inputs.bad_input import BadInput, check_leftovers, check_refusal, hash_tree, name_case
from tests.conftest import BENCH, ROOT, Bench
from tests.limits import HANG_SECONDS


def _take_spread(cases: list[BadInput], number: int) -> list[BadInput]:
    """Cases evenly spread over a module that a command line can give (no NUL, no word above the kernel's limit)."""
    possible = [case for case in cases if all("\0" not in word and len(word) < 100_000 for word in case.words)]
    possible = [case for case in possible if len(case.words) < 1000]
    return possible[:: max(1, len(possible) // number)][:number]


MODULES = (
    test_settings,
    test_strange_words,
    test_options_experiments,
    test_options_results,
    test_options_models,
    test_options_setup,
)
CHOSEN = [case for module in MODULES for case in _take_spread(module.CASES, 3)]
REAL = [test_strange_words.CASES[5], test_settings.CASES[0], test_options_results.CASES[0]]


def _check(case: BadInput, folder: Path, done: "subprocess.CompletedProcess[str]", before: dict[str, str]) -> None:
    assert done.returncode == case.code, done.stderr
    check_refusal(case, done.stdout, done.stderr)
    check_leftovers(case, before, hash_tree(folder))


@pytest.mark.parametrize("case", CHOSEN, ids=name_case)
def test_forked_children(case: BadInput, tmp_path: Path, bench: Bench) -> None:
    if case.make is not None:
        case.make(tmp_path)
    before = hash_tree(tmp_path)
    _check(case, tmp_path, bench(*case.words, cwd=tmp_path), before)


@pytest.mark.parametrize("case", REAL, ids=name_case)
def test_real_commands(case: BadInput, tmp_path: Path) -> None:
    if case.make is not None:
        case.make(tmp_path)
    before = hash_tree(tmp_path)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [BENCH, *case.words], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=HANG_SECONDS
    )
    _check(case, tmp_path, done, before)
