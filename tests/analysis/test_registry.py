"""The analyses by name, and their use without the command line."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from analysis.registry import ANALYSIS_MODULES, load_method, run_analysis
from analysis.request import AnalysisCell, AnalysisKind, BackboneChoice, CkaRequest, DataScaleRequest, SpectrumRequest
from benchmarks.cli.experiments.analyze import ANALYSES
from classification.digits_task import DIGITS
from foundation.errors import UserError
from results.records.record import Record
from tests.results.make import make_record


@pytest.fixture(autouse=True)
def _hide_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")


class Cell(NamedTuple):
    """A run as ``run_cell`` gives it."""

    record: Record
    from_record: bool = False


def test_every_analysis_is_in_the_table_and_on_the_command_line() -> None:
    assert tuple(ANALYSIS_MODULES) == tuple(ANALYSES) == get_args(AnalysisKind)


@pytest.mark.parametrize("kind", ANALYSIS_MODULES)
def test_every_analysis_has_the_same_interface(kind: AnalysisKind) -> None:
    method = load_method(kind)
    assert method.version == 1
    assert list(inspect.signature(method.run).parameters) == ["request"]
    assert list(inspect.signature(method.summarize).parameters) == ["analysis"]


def test_an_analysis_of_images_from_python(tmp_path: Path) -> None:
    request = SpectrumRequest(task=DIGITS, backbones=(BackboneChoice("vit_pico"),), num_images=8, out=tmp_path)
    stored = run_analysis(request)
    assert stored.analysis.analysis_id == "1f334a9cc9c58845", "as under schema version 1"
    assert stored.folder == tmp_path / "analysis" / "spectrum-vit_pico-digits-1f334a9cc9c58845"
    assert run_analysis(request).from_record


def test_an_analysis_of_runs_takes_them_from_whoever_has_them(tmp_path: Path) -> None:
    asked: list[AnalysisCell] = []

    def run_cell(cell: AnalysisCell) -> Cell:
        asked.append(cell)
        return Cell(make_record(90.0 + cell.seed, seed=cell.seed, run_id=f"{len(asked):016x}"))

    choice = BackboneChoice("vit_nano")
    request = DataScaleRequest(task=DIGITS, backbones=(choice,), run_cell=run_cell, seeds=(0, 2), out=tmp_path)
    stored = run_analysis(request)
    assert asked == [AnalysisCell(choice, seed, 1.0, False) for seed in (0, 2)]
    assert stored.analysis.numbers["points"][0][:3] == ["vit_nano", 100, 91]
    assert stored.analysis.runs == [f"{number:016x}" for number in (1, 2)]
    assert load_method("data-scale").summarize(stored.analysis)[0].endswith("Student's t, n = 2), 2 seeds")


def test_torchrun_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    request = SpectrumRequest(task=DIGITS, backbones=(BackboneChoice("vit_pico"),), out=tmp_path)
    with pytest.raises(UserError, match="bench analyze runs in one process, not 2; start it without torchrun"):
        run_analysis(request)
    assert not list(tmp_path.iterdir())


def test_cka_takes_two_backbones(tmp_path: Path) -> None:
    request = CkaRequest(task=DIGITS, backbones=(BackboneChoice("vit_pico"),), out=tmp_path)
    with pytest.raises(UserError, match="CKA compares two backbones, not 1"):
        run_analysis(request)
