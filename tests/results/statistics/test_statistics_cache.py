"""What is kept for boards: found again, pruned by last use, never in the way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.cli.main import main
from results.statistics import statistics_cache

DAY = 86400.0


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def test_what_is_stored_is_found() -> None:
    assert statistics_cache.load_statistics("a") is None
    assert statistics_cache.measure_statistics_cache() == statistics_cache.prune_statistics(0) == (0, 0)
    statistics_cache.store_statistics("a", [1.5, None])
    assert statistics_cache.load_statistics("a") == [1.5, None]
    assert statistics_cache.measure_statistics_cache() == (1, len("[1.5, null]"))


def test_prune_goes_by_the_last_use() -> None:
    for key in ("old", "used"):
        statistics_cache.store_statistics(key, [])
        os.utime(statistics_cache.statistics_cache_dir() / f"{key}.json", (0, 0))
    assert statistics_cache.load_statistics("used") == []
    assert statistics_cache.prune_statistics(3) == (1, 2)
    assert statistics_cache.load_statistics("old") is None
    now = (statistics_cache.statistics_cache_dir() / "used.json").stat().st_mtime
    assert statistics_cache.prune_statistics(3, now + 2 * DAY) == (0, 0)
    assert statistics_cache.prune_statistics(3, now + 4 * DAY) == (1, 2)


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    statistics_cache.store_statistics("a", [])
    assert statistics_cache.load_statistics("a") is None


def test_the_command_counts_and_prunes(capsys: pytest.CaptureFixture[str]) -> None:
    statistics_cache.store_statistics("a", [1])
    (statistics_cache.statistics_cache_dir() / ".a.json.left.tmp").write_text("[")  # of a writer that was killed
    assert main(["cache"]) == 0
    assert "2 files, 0.0 MiB of boards' statistics in" in capsys.readouterr().out
    assert main(["cache", "--prune", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["removed_statistics"] == {"num_files": 2, "num_bytes": 4}
    assert said["statistics"] == {
        "folder": str(statistics_cache.statistics_cache_dir()),
        "num_files": 0,
        "num_bytes": 0,
    }
