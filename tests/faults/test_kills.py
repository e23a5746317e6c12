"""Commands that are killed by SIGKILL inside their writes end, begun again, as if nothing had been."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detection.data.mini_coco import make_mini_coco
from foundation.environment import get_cache_dir
from segmentation.data.mini_ade import make_mini_ade
from tests.faults.kill_cases import CASES, REAL_COMMANDS, SLOW_REAL_COMMANDS, Chain, KillCase
from tests.faults.kill_driver import KillDriver
from tests.faults.soak_kills import run_soak
from tracking.data.mini_lasot import ensure_mini_lasot

SOAK_CASES = ("predict", "onnx again")
"""Neither makes a number of a record: labels for people, and an export that the case ``onnx`` makes first."""


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillDriver]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        ensure_mini_lasot()
        make_mini_ade(get_cache_dir())
        make_mini_coco(get_cache_dir())
        made = KillDriver(tmp_path_factory.mktemp("kills"), get_cache_dir())
    yield made
    made.server.close()


@pytest.mark.parametrize(
    ("case", "chain"),
    [
        pytest.param(
            case,
            chain,
            id=f"{case.name}-{number}",
            marks=[pytest.mark.soak] if case.name in SOAK_CASES else [],
        )
        for case in CASES
        for number, chain in enumerate(case.chains)
    ],
)
def test_killed_at_chosen_points_and_begun_again(driver: KillDriver, case: KillCase, chain: Chain) -> None:
    driver.kill_chain(case, chain)


@pytest.mark.parametrize(
    "name", [*REAL_COMMANDS, *(pytest.param(name, marks=pytest.mark.soak) for name in SLOW_REAL_COMMANDS)]
)
def test_a_real_command_is_killed_and_begun_again(driver: KillDriver, name: str) -> None:
    driver.kill_command(driver.cases[name], (REAL_COMMANDS | SLOW_REAL_COMMANDS)[name])


def test_there_are_enough_kills_of_every_verb_that_writes() -> None:
    assert sum(len(chain) for case in CASES for chain in case.chains) + len(REAL_COMMANDS) >= 60
    verbs = {case.words.split()[0] for case in CASES if case.chains}
    assert verbs >= {
        *("run", "pretrain", "evaluate", "analyze", "table", "items", "export", "predict", "pack", "merge"),
        *("submit", "profile", "add", "sweep", "check", "list"),
    }


@pytest.mark.soak
def test_hundreds_of_kills_at_every_step_and_at_random_moments(tmp_path: Path) -> None:
    report = run_soak(tmp_path / "soak")
    sys.stdout.write(report.format())
    assert not report.faults, report.format()
