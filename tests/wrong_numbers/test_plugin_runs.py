"""Point 7 through whole runs: an edited plug-in is run again, and its runs and analyses do not share ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.inputs.backbone_spec import BackboneSpec
from backbones.card import BackboneCard
from backbones.weights import locate_weights
from benchmarks import resolve_cell
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from results.leaderboard.table import build_table
from results.records.store import scan_runs
from tests.wrong_numbers.test_models import forget_modules, site

__all__ = ["site"]

CARD = BackboneCard("theirs", "their_vit", "", input_size=(3, 32, 32), module="their_package.vit")
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting their_vit")


def edit_depth(folder: Path) -> None:
    path = folder / "their_package" / "sizes.py"
    path.write_text(path.read_text().replace("2", "1"))
    forget_modules()


def test_an_edited_plugin_is_run_again_and_is_another_row(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve_cell, "get_card", lambda name: CARD)
    request = CellRequest("digits", "theirs", "knn", tier="smoke", out=tmp_path / "runs", device="cpu")
    first, again = run_cell(request), run_cell(request)
    assert not first.from_record and again.from_record
    edit_depth(site)
    second = run_cell(request)
    assert not second.from_record
    assert second.record.run_id != first.record.run_id
    assert second.record.comparability == first.record.comparability
    assert second.record.backbone.model != first.record.backbone.model
    (board,) = build_table(scan_runs([tmp_path / "runs"]), published=[]).boards
    assert len(board.rows) == 2 and all("network" in row.note for row in board.rows)


def test_an_analysis_of_an_edited_plugin_is_another_analysis(site: Path) -> None:
    spec = BackboneSpec(CARD, locate_weights(CARD, "random"), 32, model_arguments={"img_size": 32, "num_classes": 0})
    before = spec.identity()
    assert before == spec.identity() and "nonce" not in before
    edit_depth(site)
    assert spec.identity() != before
