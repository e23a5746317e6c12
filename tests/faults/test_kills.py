"""Commands that are killed by SIGKILL inside their writes end, begun again, as if nothing had been."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foundation.environment import get_cache_dir
from segmentation.data.mini_ade import make_mini_ade
from tests.faults.kill_cases import CASES, Chain, KillCase
from tests.faults.kill_driver import KillDriver
from tracking.data.mini_lasot import ensure_mini_lasot


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KillDriver]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        ensure_mini_lasot()
        make_mini_ade(get_cache_dir())
        made = KillDriver(tmp_path_factory.mktemp("kills"), get_cache_dir())
    yield made
    made.server.close()


@pytest.mark.parametrize(
    ("case", "chain"),
    [
        pytest.param(case, chain, id=f"{case.name}-{number}")
        for case in CASES
        for number, chain in enumerate(case.chains)
    ],
)
def test_killed_at_chosen_points_and_begun_again(driver: KillDriver, case: KillCase, chain: Chain) -> None:
    driver.kill_chain(case, chain)
