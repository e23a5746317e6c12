"""The feature cache: found by what it was made of, never half, never damaged."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.cli.main import main
from classification.probes import feature_cache
from classification.probes.feature_cache import (
    ORPHAN_AGE_SECONDS,
    compute_cache_key,
    list_cache_entries,
    load_features,
    prune_features,
    store_features,
)
from foundation import files
from foundation.errors import IncompleteError
from tests.conftest import ROOT

MADE_OF: dict[str, Any] = {"weights": "0" * 64, "split": "train", "preprocessing": {"img_size": 32}}

KILLED = """
import os, signal, sys
import numpy as np
from classification.probes import feature_cache
from foundation import files

when = sys.argv[1]
def batches():
    for start in range(0, 40, 10):
        if when == f"batch {start}":
            os.kill(os.getpid(), signal.SIGKILL)
        yield np.ones((10, 3), np.float32), np.arange(start, start + 10)

renamed = [0]
replace = files.Path.replace
def counted(self, target):
    if when == f"rename {renamed[0]}":
        os.kill(os.getpid(), signal.SIGKILL)
    renamed[0] += 1
    return replace(self, target)
files.Path.replace = counted
feature_cache.store_features({"split": "train"}, 40, batches())
"""


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))


def batches(rows: int = 25) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    values = np.random.default_rng(0).normal(size=(rows, 4)).astype(np.float32)
    for start in range(0, rows, 10):
        yield values[start : start + 10], np.arange(start, min(start + 10, rows)) % 3


def test_what_was_stored_is_loaded_from_disk() -> None:
    assert load_features(MADE_OF) is None
    stored = store_features(MADE_OF, 25, batches())
    found = load_features(MADE_OF)
    assert found is not None
    assert isinstance(found.features, np.memmap)
    expected = [np.concatenate(column) for column in zip(*batches(), strict=True)]
    for features in (stored, found):
        np.testing.assert_array_equal(features.features, expected[0])
        np.testing.assert_array_equal(features.labels, expected[1])


@pytest.mark.parametrize(
    "change",
    [{"weights": "1" * 64}, {"split": "val"}, {"preprocessing": {"img_size": 33}}, {"anything": "more"}],
    ids=lambda change: next(iter(change)),
)
def test_other_ingredients_miss(change: dict[str, Any]) -> None:
    store_features(MADE_OF, 25, batches())
    assert load_features(MADE_OF | change) is None


def test_another_format_misses(monkeypatch: pytest.MonkeyPatch) -> None:
    store_features(MADE_OF, 25, batches())
    monkeypatch.setattr(feature_cache, "CACHE_FORMAT", feature_cache.CACHE_FORMAT + 1)
    assert load_features(MADE_OF) is None
    (entry,) = list_cache_entries()
    assert "format" in str(entry.defect)


def test_too_few_images_leave_nothing() -> None:
    with pytest.raises(IncompleteError, match="25 of 26 images"):
        store_features(MADE_OF, 26, batches())
    assert load_features(MADE_OF) is None
    assert {path.name for path in feature_cache.feature_cache_dir().glob("*")} <= {feature_cache.LOCKS_FOLDER}


@pytest.mark.parametrize("part", ["features.npy", "labels.npy", "json"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_entry_is_never_used_and_is_mended_by_storing(part: str, damage: str) -> None:
    store_features(MADE_OF, 25, batches())
    path = feature_cache.feature_cache_dir() / f"{compute_cache_key(MADE_OF)}.{part}"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content[:-7] if damage == "cut" else content[:-9] + b"\xf3" + content[-8:])
    assert load_features(MADE_OF) is None
    store_features(MADE_OF, 25, batches())
    assert load_features(MADE_OF) is not None


@pytest.mark.parametrize("when", ["batch 10", "batch 30", "rename 0", "rename 1", "rename 2"])
def test_a_kill_leaves_no_usable_half(when: str) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED, when], env=env, check=False)
    assert done.returncode == -9
    assert load_features({"split": "train"}) is None
    left = list_cache_entries()
    assert bool(left) is (when != "batch 0"), "nothing is begun before the size is known"
    assert all(entry.defect for entry in left)
    assert prune_features(0) == [], "a fresh half may be of a run at work"
    later = time.time() + ORPHAN_AGE_SECONDS + 60
    assert len(prune_features(0, now=later)) == len(left)
    assert {path.name for path in feature_cache.feature_cache_dir().glob("*")} <= {feature_cache.LOCKS_FOLDER}


def test_an_entry_that_is_pruned_when_it_is_complete_still_serves_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """``bench cache --prune 0`` beside a run ended the run: "it is not there, or was removed meanwhile"."""

    def write_and_prune(path: Path, content: str) -> None:
        files.write_atomic(path, content)
        assert len(prune_features(0)) == 1

    monkeypatch.setattr(feature_cache, "write_atomic", write_and_prune)
    stored = store_features(MADE_OF, 25, batches())
    assert np.array_equal(stored.features, np.concatenate([values for values, _ in batches()]))
    assert load_features(MADE_OF) is None


def test_prune_goes_by_the_last_use() -> None:
    for split in ("train", "val"):
        store_features({"split": split}, 25, batches())
    day = 86400.0
    used = list_cache_entries()[0].last_used
    os.utime(feature_cache.feature_cache_dir() / f"{compute_cache_key({'split': 'val'})}.json", (used, used + 5 * day))
    assert [entry.key_fields["split"] for entry in prune_features(3, now=used + 4 * day)] == ["train"]
    assert load_features({"split": "train"}) is None
    assert load_features({"split": "val"}) is not None
    assert len(prune_features(0)) == 1
    assert list_cache_entries() == []


def test_the_command_lists_and_prunes(capsys: pytest.CaptureFixture[str]) -> None:
    store_features(MADE_OF | {"card": {"name": "vit_nano"}, "pool": "avg"}, 25, batches())
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "vit_nano" in shown
    assert "1 entry, 0.0 MiB of features in" in shown
    assert "0 files, 0.0 MiB of boards' statistics in" in shown
    assert main(["cache", "--prune", "--json"]) == 0
    assert '"removed": []' in capsys.readouterr().out
    assert main(["cache", "--prune", "0"]) == 0
    assert "removed 1 entry" in capsys.readouterr().out
    assert list_cache_entries() == []
    assert main(["cache", "--prune", "-1"]) == 2
    assert "must be a number of days" in capsys.readouterr().err
