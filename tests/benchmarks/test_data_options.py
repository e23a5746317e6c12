"""The options of the data reach every reader of one run, its record, its id and the command that repeats it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.matrix.cell_command import make_cell_command
from benchmarks.resolve_cell import CellRequest
from benchmarks.score_results import score_results
from engine.data.data_options import make_data_options
from foundation.errors import ConfigError, UserError
from results.records.identity import build_run_identity
from results.records.record import parse_record
from results.score_request import ScoreRequest


def test_command_of_a_cell_repeats_the_options() -> None:
    options = make_data_options({"nested_classes": "leaf", "exclude": ["raw", "b.txt"], "ignore": [11]})
    words = make_cell_command(CellRequest("imagefolder", "vit_nano", data_options=options))
    assert words[-7:] == ["--nested-classes", "leaf", "--exclude", "b.txt", "raw", "--ignore", "11"]


def test_command_of_a_cell_holds_a_name_that_begins_with_a_dash() -> None:
    options = make_data_options({"exclude": ["-a.png"]})
    words = make_cell_command(CellRequest("imagefolder", "vit_nano", data_options=options))
    assert words[-2:] == ["--exclude", "./-a.png"]
    assert make_data_options({"exclude": words[-1:]}) == options


def test_id_of_a_record_is_computed_with_its_options(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "results/reference_runs").rglob("record.json")
    record = parse_record(next(iter(text)).read_text(), "record")
    options = {"exclude": ["raw"], "labels": "a.csv"}
    data = record.data.model_copy(update={"options": options})
    marked = record.model_copy(update={"data": data})
    assert build_run_identity(marked).protocol_fields["data_options"] == {"exclude": ["raw"]}
    assert build_run_identity(marked).run_id != build_run_identity(record).run_id


def test_score_refuses_an_option_that_the_set_does_not_take(tmp_path: Path) -> None:
    request = ScoreRequest("imagenet", (tmp_path / "a.csv",), tmp_path, data_options={"target": "3"})
    with pytest.raises(UserError, match=r"task imagenet has no --target"):
        score_results(request)
    with pytest.raises(ConfigError, match="layout"):
        score_results(replace(request, data_options={"layout": "heaps"}))
