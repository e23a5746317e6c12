"""Faults of an attack on code and settings: what an environment variable, a constructor or a derived class decides."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import pytest

from backbones.weights import locate_weights
from benchmarks import resolve_cell, run_cell
from benchmarks.resolve_cell import CellRequest
from benchmarks.task_registry import describe_task_source
from engine.recipe import StrictConfig, TrainingRecipe
from engine.training_checks.checkpoint_digests import get_digest_path
from foundation.errors import CheckpointError, UserError
from results.leaderboard.table import build_table
from results.statistics.comparison import group_runs_by_board
from tests.results.make import make_record, make_scan
from tests.wrong_numbers.test_boards import make_seed
from tests.wrong_numbers.test_models import describe, forget_modules, site, write_files
from tests.wrong_numbers.test_plugin_runs import CARD
from tests.wrong_numbers.test_resume import flip_bits, train

__all__ = ["site"]
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting their_vit")

BY_ENVIRONMENT = "import os\n\nSIZES = {'depth': 2, 'num_heads': int(os.environ.get('THEIR_HEADS', 2))}\n"


# --- a plug-in that builds what an environment variable says


def set_heads(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process with another environment."""
    monkeypatch.setenv("THEIR_HEADS", str(count))
    forget_modules()


def test_the_same_source_with_another_environment_is_another_model(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(site, {"their_package/sizes.py": BY_ENVIRONMENT})
    set_heads(2, monkeypatch)
    first = describe()
    set_heads(4, monkeypatch)
    other = describe()
    assert other.attributes != first.attributes and other.source == first.source
    set_heads(2, monkeypatch)
    assert describe() == first


def test_a_run_of_another_model_than_its_id_says_is_refused(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where torch is not imported yet the digest is read from the cache, and only the run finds the difference."""
    monkeypatch.setattr(resolve_cell, "get_card", lambda name: CARD)
    write_files(site, {"their_package/sizes.py": BY_ENVIRONMENT})
    request = CellRequest("digits", "theirs", "knn", tier="smoke", out=tmp_path / "runs", device="cpu")
    set_heads(2, monkeypatch)
    first = run_cell.run_cell(request)
    set_heads(4, monkeypatch)
    kept = first.record.backbone.model
    resolved = resolve_cell.resolve_cell(request)
    stale = resolved._replace(backbone=resolved.backbone.model_copy(update={"model": kept}))
    with monkeypatch.context() as patch:
        patch.setattr(run_cell, "resolve_cell", lambda _: stale)
        patch.setattr(run_cell, "choose_run_folder", lambda *_: (tmp_path / "runs" / "other", None))
        with pytest.raises(UserError, match="another network than before from the same code"):
            run_cell.run_cell(request)
    assert not (tmp_path / "runs" / "other").exists()
    again = run_cell.run_cell(request)
    assert not again.from_record and again.record.run_id != first.record.run_id
    assert run_cell.run_cell(request).from_record


# --- a task whose constructor decides


PARAMETRIC = """\
from classification.digits_task import DigitsTask


class Mine(DigitsTask):
    name = "digits"

    def __init__(self, ridge, folder="/somewhere"):
        self.ridge, self.folder, self.table, self._seen = ridge, folder, None, 0
"""


def test_what_a_tasks_constructor_was_given_counts(site: Path) -> None:
    write_files(site, {"their_helper.py": PARAMETRIC})
    kind = import_module("their_helper").Mine
    first = describe_task_source(kind(1.0))
    assert first.is_answerable
    assert describe_task_source(kind(2.0)).sha256 != first.sha256


def test_what_a_task_fills_in_while_it_runs_does_not_count(site: Path) -> None:
    write_files(site, {"their_helper.py": PARAMETRIC})
    task = import_module("their_helper").Mine(1.0)
    first = describe_task_source(task)
    task.table, task._seen, task.folder = object(), 3, "/elsewhere"
    assert describe_task_source(task) == first


# --- settings that were added to a class and to one that it is derived from


class BaseOfLater(TrainingRecipe):
    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"ema": 0.0}
    ema: float = 0.0


class DerivedLater(BaseOfLater):
    LATER_SETTINGS: ClassVar[Mapping[str, Any]] = {"mix": None}
    mix: StrictConfig | None = None


def test_a_later_setting_of_a_base_class_leaves_ids_alone_too() -> None:
    settings: dict[str, Any] = {
        "epochs": 1,
        "batch_size": 2,
        "optimizer": {"name": "AdamW", "lr": 1e-3},
        "schedule": {"name": "cosine"},
        "loggers": [],
    }
    before = TrainingRecipe.model_validate(settings).identity_settings()
    assert DerivedLater.model_validate(settings).identity_settings() == before
    assert DerivedLater.model_validate(settings | {"ema": 0.5}).identity_settings() == before | {"ema": 0.5}


# --- a training that starts anew beside the weights of a damaged one


def test_a_training_that_starts_anew_keeps_its_own_weights(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The weights of later epochs, whose checkpoints were damaged, do not displace those of this attempt."""
    train(tmp_path, stop_after=3)
    checkpoints = tmp_path / "checkpoints"
    for path in checkpoints.glob("step_*.pth"):
        flip_bits(path)
    train(tmp_path, stop_after=1)
    assert "the training starts anew" in capfd.readouterr().err
    assert {path.name for path in checkpoints.glob("*.pth")} == {"step_00000001.pth", "last_00000001.pth"}
    train(tmp_path, stop_after=2)
    assert "anew" not in capfd.readouterr().err, "it went on from its own first epoch"


# --- start weights that were damaged after bench wrote them


def test_start_weights_that_bench_wrote_are_checked_by_what_their_run_states(tmp_path: Path) -> None:
    train(tmp_path, stop_after=1)
    (path,) = tmp_path.glob("checkpoints/last_*.pth")
    assert locate_weights(CARD, str(path)).file == path
    flip_bits(path)
    with pytest.raises(CheckpointError, match="is damaged or was replaced: its SHA-256 is not the one that its run"):
        locate_weights(CARD, str(path))
    elsewhere = shutil.copy(path, tmp_path / "meant.pth")  # a file of the user's own states nothing
    assert locate_weights(CARD, str(elsewhere)).file == elsewhere
    get_digest_path(path).write_text("{")
    with pytest.raises(CheckpointError, match="cannot be checked"):
        locate_weights(CARD, str(path))


@pytest.mark.parametrize("result", [None, {"details": {}}, {"details": {"encoder": {"sha256": "0" * 64}}}])
def test_an_encoder_is_checked_by_its_record(result: Any, tmp_path: Path) -> None:
    (tmp_path / "encoder.pth").write_bytes(b"weights")
    (tmp_path / "record.json").write_text(json.dumps({"result": result}))
    if result and result["details"]:
        with pytest.raises(CheckpointError, match="is damaged or was replaced"):
            locate_weights(CARD, str(tmp_path))
    else:
        assert locate_weights(CARD, str(tmp_path)).file == tmp_path / "encoder.pth"


# --- a seed that was run again under another id


def test_a_seed_that_was_run_again_under_another_id_counts_once() -> None:
    """As after a new version, whose ids hold a digest of the network: the old record is of the same row."""
    old = [make_seed(0), make_seed(1)]
    again = make_record(60.0, run_id="again", seed=0, backbone={"parameters": None, "model": {"structure": "a" * 64}})
    later = again.environment.model_copy(update={"started": "2999-01-01T00:00:00+00:00"})
    scan = make_scan(*old, again.model_copy(update={"environment": later}))
    table = build_table(scan, published=[])
    (row,) = table.boards[0].rows
    assert row.seeds == (0, 1) and sorted(row.run_ids) == ["again", "run1"]
    assert [str(run.record.run_id) for run in table.unranked] == ["run0"]
    assert "its seed 0 was run again, and the newer run counts" in str(table.unranked[0])
    (runs,) = group_runs_by_board(scan.records, old[0].backbone.name).values()
    assert sorted(record.run_id for _, record in runs) == ["again", "run1"]
