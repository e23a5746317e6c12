"""Point 7 for finished models: a run of a plug-in that was edited since is another model when it is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backbones.card import BackboneCard
from backbones.registry import BACKBONES
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from engine.evaluation.model_source import ModelSource
from results.records.record import BackboneRecord
from results.records.store import read_record
from segmentation.as_is.run_source import open_run_segmentor
from segmentation.as_is.settings import SegmentationSettings
from tests.tracking.as_is.make import make_run
from tests.wrong_numbers.test_models import forget_modules, site
from tracking.as_is.finished_tracker import open_tracker
from tracking.as_is.settings import EvaluationSettings

__all__ = ["site"]

CARD = BackboneCard("theirs", "their_vit", "", input_size=(3, 32, 32), module="their_package.vit")
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting their_vit")


@pytest.fixture(autouse=True)
def _four_blocks(site: Path) -> None:
    """The head of a linear segmentation network reads four maps."""
    (site / "their_package" / "sizes.py").write_text("SIZES = {'depth': 4}\n")
    forget_modules()


def edit_activation(site: Path) -> None:
    """The same weights, other numbers."""
    (site / "their_package" / "sizes.py").write_text("SIZES = {'depth': 4, 'act_layer': 'relu'}\n")
    forget_modules()


def require_another_model(describe: Callable[[], BackboneRecord], site: Path) -> BackboneRecord:
    first = describe()
    assert first.model is not None and first == describe()
    edit_activation(site)
    edited = describe()
    assert edited.model is not None and edited.model["source"] != first.model["source"]
    assert edited.model_copy(update={"model": None}) == first.model_copy(update={"model": None})
    return first


def test_a_tracker(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES._loaded, "theirs", CARD)
    source = ModelSource(run=make_run(tmp_path / "run", backbone="theirs"))
    require_another_model(lambda: open_tracker(source, EvaluationSettings(), "cpu").backbone, site)


def test_a_segmentor(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BACKBONES._loaded, "theirs", CARD)
    request = CellRequest("mini_ade", "theirs", "linear", tier="smoke", out=tmp_path / "runs", device="cpu")
    run = run_cell(request).folder
    source = ModelSource(run=run)
    first = require_another_model(lambda: open_run_segmentor(source, SegmentationSettings(), "cpu").record, site)
    assert first.model == read_record(run).backbone.model, "as trained, as long as nothing was edited"
