"""The steps of an evaluation: gates, id, record, failures; with a task whose model answers from a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.evaluation.evaluate_model import EvaluationRequest, evaluate_model, open_evaluation
from engine.evaluation.contract import Evaluation, TestOnlyTask
from engine.evaluation.model_source import ModelSource
from engine.task import DataReport, DecodeLevel, MetricSpec, RunPlan, TaskOutcome
from foundation.errors import DataError, IncompleteError, UserError
from results.records.identity import build_run_identity
from results.records.measurements import EfficiencyRecord
from results.records.record import BackboneRecord, MetricValue, ModelSelection, StartCheckpoint
from results.records.store import read_record
from results.statistics.metric_statistics import MetricStatistic

TestOnlyTask.__test__ = False  # type: ignore[attr-defined]  # pytest takes the name for a test


@dataclass
class Settings:
    """What the task of the tests answers."""

    answers: list[int] = field(default_factory=lambda: [1, 0, 1])
    deviations: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    evaluated: int = 0


@dataclass(frozen=True)
class ListedEvaluation(Evaluation):
    """A model that is right where the list says 1."""

    settings: Settings

    def run(self, out: Path) -> TaskOutcome:
        """Answer every item."""
        self.settings.evaluated += 1
        if not self.settings.answers:
            raise UserError("the model has no answers; give it some")
        rows = [(item, answer) for item, answer in enumerate(self.settings.answers)]
        value = 100 * sum(self.settings.answers) / len(rows)
        return TaskOutcome(
            metrics={"top1": MetricValue(value=value, unit="%", higher_is_better=True, n=len(rows))},
            item_columns=("item", "correct"),
            item_rows=rows,
            selection=ModelSelection(split="none", metric="top1", candidates=1, chosen="as it is"),
            load_report=None,
            checkpoint_format=None,
            parameters=7,
            phase_seconds={"test": 0.0},
        )

    def measure_cost(self) -> EfficiencyRecord | None:
        """Not measured."""
        return None


class ListedTask(TestOnlyTask):
    """A test set of three items."""

    name = "listed"
    domain = "classification"
    summary = "three items"
    metrics = (MetricSpec("top1", "%", True, MetricStatistic("mean", ("correct",))),)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Three items."""
        settings = self._settings
        return DataReport("a" * 64, {"test": 3}, deviations=settings.deviations, duplicates=settings.duplicates)

    def open_evaluation(self, source: ModelSource, root: Path) -> Evaluation:
        """The model of the settings."""
        start = StartCheckpoint(uri="listed.pth", sha256="b" * 64, bytes=1)
        backbone = BackboneRecord(
            name=source.backbone or "run",
            card={},
            arguments=dict(self._settings.arguments),
            init="checkpoint",
            checkpoint=start,
        )
        plan = RunPlan(1, {"recipe": {"rule": "as it is"}}, {}, {}, 3, ("test",))
        return ListedEvaluation(self, backbone, self.check_data(root), plan, "cpu", self._settings)


def make_request(settings: Settings, out: Path, **changes: Any) -> EvaluationRequest:
    """A request for the model of the settings."""
    request = EvaluationRequest(ListedTask(settings), ModelSource(backbone="listed"), out, out / "runs")
    return replace(request, **changes)


def test_an_evaluation_writes_one_record_whose_id_follows_from_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings()
    done = evaluate_model(make_request(settings, tmp_path, label="my model"))
    record = read_record(done.folder)
    assert (record.status, record.protocol, record.tier, record.seed) == ("complete", "as_is", "full", 0)
    assert record.result is not None and record.result.metrics["top1"].value == pytest.approx(200 / 3)
    assert record.backbone.label == "my model"
    identity = build_run_identity(record)
    assert (record.run_id, record.comparability) == (identity.run_id, identity.comparability)
    # the same request is answered from the record; with force_new it is made again, in a folder of its own
    again = evaluate_model(make_request(settings, tmp_path))
    assert again.from_record and again.folder == done.folder and settings.evaluated == 1
    # its label is not the one that is asked for now, which is said, since nothing is rewritten
    assert "never rewritten" not in capsys.readouterr().err
    evaluate_model(make_request(settings, tmp_path, label="another"))
    told = capsys.readouterr().err
    assert "has the label 'my model'" in told and "'another' counts with --fresh" in told
    fresh = evaluate_model(make_request(settings, tmp_path, force_new=True))
    assert fresh.folder != done.folder and fresh.record.run_id == record.run_id and settings.evaluated == 2


def test_a_label_that_comes_too_late_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_model(make_request(Settings(), tmp_path))
    capsys.readouterr()
    again = evaluate_model(make_request(Settings(), tmp_path, label="mine"))
    said = capsys.readouterr().err
    assert again.from_record and again.record.backbone.label is None
    assert "this evaluation is answered from its record, which has no label" in said
    assert "'mine' counts with --fresh" in said


@pytest.mark.parametrize(
    "change", [{"model": {"structure": "a", "source": "unknown 0123"}}, {"arguments": {"code": "unknown 0123"}}]
)
def test_code_that_was_not_found_is_evaluated_again(
    change: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest does not cover what the model calls, so a record of it answers nothing."""
    settings, own = Settings(), ListedTask.open_evaluation

    def open_unknown(task: ListedTask, source: ModelSource, root: Path) -> Evaluation:
        opened = own(task, source, root)
        return replace(opened, backbone=opened.backbone.model_copy(update=change))

    monkeypatch.setattr(ListedTask, "open_evaluation", open_unknown)
    first, second = (evaluate_model(make_request(settings, tmp_path)) for _ in range(2))
    assert settings.evaluated == 2 and not second.from_record and first.folder != second.folder


def test_settings_of_the_model_move_the_id_and_not_the_board(tmp_path: Path) -> None:
    plain = open_evaluation(make_request(Settings(), tmp_path)).record
    cropped = open_evaluation(make_request(Settings(arguments={"crop_pct": 1.0}), tmp_path)).record
    assert plain.run_id != cropped.run_id and plain.comparability == cropped.comparability
    assert list(tmp_path.iterdir()) == []  # nothing is written by looking


def test_other_data_need_the_word(tmp_path: Path) -> None:
    cut, double = Settings(deviations=("3 of 9 items",)), Settings(duplicates=("item 2 is in train",))
    with pytest.raises(DataError, match=r"3 of 9 items.*--subset"):
        evaluate_model(make_request(cut, tmp_path))
    with pytest.raises(DataError, match=r"item 2.*--allow-duplicates"):
        evaluate_model(make_request(double, tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert evaluate_model(make_request(cut, tmp_path, allow_subset=True)).record.data.deviations == ["3 of 9 items"]
    request = make_request(double, tmp_path / "others", allow_duplicates=True)
    allowed = evaluate_model(request).record
    assert allowed.data.duplicates == ["item 2 is in train"]


def test_an_incomplete_evaluation_has_no_number_and_can_be_repeated(tmp_path: Path) -> None:
    settings = Settings(answers=[1, 0])
    with pytest.raises(IncompleteError, match="2 of 3 items"):
        evaluate_model(make_request(settings, tmp_path))
    (folder,) = tmp_path.glob("runs/listed/*")
    failed = read_record(folder)
    assert failed.status == "failed" and failed.result is None and "2 of 3" in (failed.reason or "")
    settings.answers = []
    with pytest.raises(UserError, match="no answers"):
        evaluate_model(make_request(settings, tmp_path))
    settings.answers = [1, 1, 1]
    done = evaluate_model(make_request(settings, tmp_path))
    assert done.folder == folder and done.record.cost is not None and done.record.cost.attempts == 3


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (ModelSource(), "no model is named"),
        (ModelSource(run=Path("r"), backbone="x"), "--run names the whole model"),
        (ModelSource(config=Path("c.py")), "--config needs --checkpoint"),
        (ModelSource(config=Path("c.py"), checkpoint=Path("x.pth"), backbone="x"), "no --backbone"),
        (ModelSource(backbone="x", weights_key="model"), "--weights-key names weights in a file"),
        (ModelSource(backbone="x", precision="int8"), "add --runtime"),
    ],
)
def test_a_model_comes_from_one_place(source: ModelSource, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=sentence):
        evaluate_model(make_request(Settings(), tmp_path, source=source))


def test_several_processes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="one process"):
        evaluate_model(make_request(Settings(), tmp_path))


def test_a_test_set_cannot_be_trained_on(tmp_path: Path) -> None:
    task = ListedTask(Settings())
    with pytest.raises(UserError, match="use bench evaluate listed"):
        task.plan(None, task.check_data(tmp_path))  # type: ignore[arg-type]
