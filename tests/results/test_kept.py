"""What is kept for boards: found again, pruned by last use, never in the way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.cli import main
from results import kept

DAY = 86400.0


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def test_what_is_stored_is_found() -> None:
    assert kept.load("a") is None
    assert kept.size() == kept.prune(0) == (0, 0)
    kept.store("a", [1.5, None])
    assert kept.load("a") == [1.5, None]
    assert kept.size() == (1, len("[1.5, null]"))


def test_prune_goes_by_the_last_use() -> None:
    for key in ("old", "used"):
        kept.store(key, [])
        os.utime(kept.folder() / f"{key}.json", (0, 0))
    assert kept.load("used") == []
    assert kept.prune(3) == (1, 2)
    assert kept.load("old") is None
    now = (kept.folder() / "used.json").stat().st_mtime
    assert kept.prune(3, now + 2 * DAY) == (0, 0)
    assert kept.prune(3, now + 4 * DAY) == (1, 2)


def test_a_folder_that_cannot_be_made_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    kept.store("a", [])
    assert kept.load("a") is None


def test_the_command_counts_and_prunes(capsys: pytest.CaptureFixture[str]) -> None:
    kept.store("a", [1])
    (kept.folder() / ".a.json.left.tmp").write_text("[")  # of a writer that was killed
    assert main(["cache"]) == 0
    assert "2 files, 0.0 MiB of boards' statistics in" in capsys.readouterr().out
    assert main(["cache", "--prune", "0", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["removed_statistics"] == {"files": 2, "bytes": 4}
    assert said["statistics"] == {"folder": str(kept.folder()), "files": 0, "bytes": 0}
