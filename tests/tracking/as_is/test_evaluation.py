"""Finished trackers through ``open_evaluation``: a run, a file in its folder, an OSTrack file, on every kind of set."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backbones.create import create_backbone
from benchmarks.cli.main import main
from benchmarks.evaluation.evaluate_model import EvaluationRequest, evaluate_model
from benchmarks.task_registry import TASKS
from benchmarks.verify.stored_predictions import check_stored_predictions
from engine.evaluation.contract import TestOnlyTask
from engine.evaluation.model_source import ModelSource
from engine.task import RunRequest, TaskOutcome
from engine.training_checks.checkpoint_digests import CheckpointOwner, checkpoint_writer
from foundation.errors import CheckpointError, ConfigError, DataError, UserError
from results.records.identity import AS_IS
from results.records.store import read_record
from results.score_request import ScoreRequest
from results.statistics.statistic_functions import evaluate_statistic
from tests.tracking.as_is.make import make_run
from tests.tracking.data.readers import make_sets
from tests.tracking.ostrack_file import CE_NAME, list_ostrack_tensors, save_ostrack_file
from tracking.as_is.evaluation import TrackingEvaluation
from tracking.deployment.ostrack_format import export_ostrack
from tracking.evaluate_run import evaluate_run
from tracking.inference.run_files import load_recipe, load_torch_factory
from tracking.inference.tracker_factory import GIVEN_NORMALIZATION
from tracking.scoring.command import score_tracking_set


@pytest.fixture(autouse=True)
def _short_timing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backbones.cost.measure_cost.TIMED_SECONDS", 0.01)


FEW = ("max_frames=5", "max_items=2")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose tracker OSTrack's code could compute, with candidate elimination."""
    return make_run(tmp_path_factory.mktemp("runs") / "mine", use_ce=True)


def open_task(name: str, source: ModelSource, root: Path) -> TrackingEvaluation:
    opened = TASKS.get(name).open_evaluation(replace(source, device="cpu"), root)
    assert isinstance(opened, TrackingEvaluation)
    return opened


def read_boxes(folder: Path) -> dict[str, bytes]:
    beside = ("_confidence", "_times")
    return {path.name: path.read_bytes() for path in folder.glob("*.txt") if not path.stem.endswith(beside)}


def make_folder(root: Path, count: int = 2, frames: int = 6) -> Path:
    """Own sequences."""
    for number in range(count):
        make_sets.write_frames(root / f"seq{number}", range(1, frames + 1), "{:04d}.png")
        make_sets.write_boxes(root / f"seq{number}" / "groundtruth.txt", make_sets.make_boxes(number, frames))
    return root


def test_a_tracker_of_ours_as_an_ostrack_file_gives_the_boxes_of_its_run(run: Path, tmp_path: Path) -> None:
    """Written here from the published layout, with the trainer's own settings object."""
    recipe, model = load_recipe(run), load_torch_factory(run).load_model()
    path = save_ostrack_file(
        tmp_path / "OSTrack_ep0300.pth.tar",
        list_ostrack_tensors(model),
        config_name=CE_NAME,
        output_sz={"template": recipe.template_size, "search": recipe.search_size},
        search_area_factor={"template": recipe.template_factor, "search": recipe.search_factor},
    )
    root = make_folder(tmp_path / "data")
    ours = open_task("trackfolder", ModelSource(run=run), root)
    theirs = open_task("trackfolder", ModelSource(backbone="vit_micro", checkpoint=path), root)
    one, other = ours.run(tmp_path / "one"), theirs.run(tmp_path / "other")
    assert read_boxes(tmp_path / "one" / "tracked") == read_boxes(tmp_path / "other" / "tracked") != {}
    assert list(one.item_rows) == list(other.item_rows) and one.metrics == other.metrics
    assert theirs.backbone.arguments == ours.backbone.arguments
    assert theirs.backbone.card == ours.backbone.card, "with the normalization of OSTrack's code, not the registry's"
    assert theirs.backbone.arguments["ce"] == {"blocks": [3, 6, 9], "keep_ratio": 0.7}
    assert ours.plan.config == theirs.plan.config and ours.data.fingerprint == theirs.data.fingerprint, "one board"
    with pytest.raises(UserError, match=r"says ce=true .* asks for ce=false"):
        wrong = ModelSource(backbone="vit_micro", checkpoint=path, overrides=("ce=false",))
        open_task("trackfolder", wrong, root)
    # without the elimination that the file states, the boxes are others: what happened silently before
    bare = save_ostrack_file(tmp_path / "bare.pth.tar", list_ostrack_tensors(model))
    blind = ModelSource(backbone="vit_micro", checkpoint=bare, overrides=("search_factor=2", "ce=false"))
    open_task("trackfolder", blind, root).run(tmp_path / "blind")
    assert read_boxes(tmp_path / "blind" / "tracked") != read_boxes(tmp_path / "one" / "tracked")


def test_a_run_and_its_weights_file_are_evaluated_as_the_run_itself_tracks(run: Path, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data")
    expected = evaluate_run(run, root, tmp_path / "by_run")
    weights = run / "checkpoints" / "last_00000002.pth"
    found = [
        open_task("trackfolder", source, root).run(tmp_path / str(number))
        for number, source in enumerate((ModelSource(run=run), ModelSource(checkpoint=weights)))
    ]
    for outcome in found:
        assert list(outcome.item_rows) == expected
        assert outcome.metrics["AUC"].value == sum(row.AUC for row in expected) / len(expected)
    opened = open_task("trackfolder", ModelSource(run=run), root)
    assert opened.backbone.checkpoint is not None and opened.backbone.checkpoint.uri == str(weights)
    assert opened.plan.config == {"recipe": {"rules": "official (the LaSOT toolkit, OSTrack and pytracking agree)"}}


def test_the_record_of_an_evaluation(run: Path, tmp_path: Path) -> None:
    """Through the verb's own steps: two trackers of one file are one evaluation, and limits make another board."""
    request = EvaluationRequest(
        "mini_lasot", ModelSource(run=run, device="cpu", overrides=FEW), out=tmp_path / "runs", allow_subset=True
    )
    cell = evaluate_model(request)
    record = cell.record
    assert (record.protocol, record.status, record.done) == (AS_IS, "complete", 2)
    assert record.config["recipe"] == {
        "rules": "official (the LaSOT toolkit, OSTrack and pytracking agree)", "max_items": 2, "max_frames": 5,
    }  # fmt: skip
    cost = record.cost.efficiency if record.cost else None
    assert cost is not None and cost.latency is not None
    assert cost.img_size == [64, 64] and cost.runtime == f"torch {torch.__version__.partition('+')[0]}"
    assert record.backbone.parameters == sum(p.numel() for p in load_torch_factory(run).load_model().parameters())
    assert cost.parameters == record.backbone.parameters, "backbone and head"
    assert evaluate_model(request).from_record, "the same id is not computed again"
    rows = list(csv.DictReader((cell.folder / "items.csv").open()))
    assert len(rows) == 2 and {row["frames"] for row in rows} == {"5"}
    assert len(list((cell.folder / "results_ostrack").glob("*_time.txt"))) == 2


def test_a_run_evaluates_to_the_number_of_its_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bit for bit, and the same table. The run has a mean and std of its own, with which it must track as well."""
    words = ["--backbone", "vit_pico", "--protocol", "fast64", "--tier", "smoke", "--device", "cpu"]
    torch.save(create_backbone("vit_pico", checkpoint="random").model.state_dict(), tmp_path / "start.pth")
    own = ["--checkpoint", str(tmp_path / "start.pth"), *["--mean", "0.4", "0.4", "0.4", "--std", "0.3", "0.3", "0.3"]]
    own += ["--set", *FEW, "pairs=32", "val_pairs=16"]
    assert main(["run", "mini_lasot", *words, *own, "--out", str(tmp_path / "runs"), "--json"]) == 0
    (path,) = (tmp_path / "runs").rglob("record.json")
    record = read_record(path.parent)
    # of the row: on the board it is compared with runs of other inputs
    assert "fixes" not in record.config and record.backbone.checkpoint is not None
    assert record.backbone.checkpoint.loading_fixes == [GIVEN_NORMALIZATION]
    made_by = json.loads((path.parent / "tracked" / "made_by.json").read_text())
    assert made_by["backbone"]["card"]["mean"] == [0.4, 0.4, 0.4]
    source = ModelSource(run=path.parent, device="cpu", overrides=FEW)
    cell = evaluate_model(EvaluationRequest("mini_lasot", source, out=tmp_path / "evaluations"))
    assert record.result is not None and cell.record.result is not None
    for name, value in record.result.metrics.items():
        assert cell.record.result.metrics[name].value == value.value
    assert (cell.folder / "items.csv").read_bytes() == (path.parent / "items.csv").read_bytes()
    assert cell.record.backbone.card["mean"] == [0.4, 0.4, 0.4]


SETS: list[tuple[str, Callable[[Path], Path], str]] = [
    ("otb100", make_sets.make_small_otb100, "Jogging_2"),
    ("nfs", make_sets.make_nfs, "nfs_bird"),
    ("lasot_ext", make_sets.make_lasot_ext, "jianzi-10"),
    ("got10k_val", make_sets.make_got10k_val, "GOT-10k_Val_000001"),
]


@pytest.mark.parametrize(("name", "make", "field_name"), SETS)
def test_the_score_of_a_set_is_that_of_bench_score(
    run: Path, tmp_path: Path, name: str, make: Callable[[Path], Path], field_name: str
) -> None:
    """Also of the files in the field's form, which have the sequence names of OSTrack's and pytracking's data sets."""
    root = make(tmp_path / "data")
    opened = open_task(name, ModelSource(run=run), root)
    assert isinstance(opened.task, TestOnlyTask) and opened.data.deviations
    outcome = opened.run(tmp_path / "out")
    for folder, tolerance in (("tracked", 1e-9), ("results_ostrack", 30.0)):
        score = score_tracking_set(ScoreRequest(name, (tmp_path / "out" / folder,), data_root=root, partial=True)).data[
            "trackers"
        ][0]
        values = {key: value.value for key, value in outcome.metrics.items()}
        assert values == pytest.approx(score["partial_metrics"], abs=tolerance)
    names = {path.name for path in (tmp_path / "out" / "results_ostrack").iterdir()}
    assert {f"{field_name}.txt", f"{field_name}_time.txt"} <= names and len(names) == 2 * len(opened.videos)
    assert set(outcome.metrics) == {spec.name for spec in opened.task.metrics}
    check_statistics(opened, outcome)
    assert list(opened.task.list_test_items(root)["sequence"]) == [row[0] for row in outcome.item_rows]


def check_statistics(opened: TrackingEvaluation, outcome: TaskOutcome) -> None:
    """Each value follows from the per-item table as its metric states it."""
    columns = {
        name: np.array([row[place] for row in outcome.item_rows]) for place, name in enumerate(outcome.item_columns)
    }
    for spec in opened.task.metrics:
        assert spec.statistic is not None
        if spec.statistic.kind == "function":
            cells = {name: columns[name].astype(float) for name in spec.statistic.columns}
            again = evaluate_statistic(str(spec.statistic.function), cells)
        else:
            again = float(columns[spec.statistic.columns[0]].astype(float).mean())
        assert outcome.metrics[spec.name].value == pytest.approx(again, abs=1e-9)


def test_frames_of_got10k_are_pooled(run: Path, tmp_path: Path) -> None:
    """Sequences of 5 and 9 frames, of which 3 and 7 count (not the first one, and not the last with cover 0)."""
    opened = open_task("got10k_val", ModelSource(run=run), make_sets.make_got10k_val(tmp_path / "data"))
    outcome = opened.run(tmp_path / "out")
    place = {name: number for number, name in enumerate(outcome.item_columns)}
    rows = outcome.item_rows
    assert [row[place["counted"]] for row in rows] == [3, 7]
    few = ModelSource(run=run, overrides=("max_frames=4",))
    limited = open_task("got10k_val", few, tmp_path / "data")
    assert [row[1] for row in limited.run(tmp_path / "few").item_rows] == [4, 4]
    assert limited.plan.config["recipe"]["max_frames"] == 4
    short, long = (float(row[place["AO"]] or 0) for row in rows)
    assert outcome.metrics["AO"].value == pytest.approx((3 * short + 7 * long) / 10)


def test_two_real_videos(run: Path, shared_data: Path, tmp_path: Path) -> None:
    """A file that bench itself exported for OSTrack's code follows real targets as its run does."""
    path = export_ostrack(run, tmp_path / "export")
    limits = ("max_frames=20",)
    sources = (
        ModelSource(run=run, overrides=limits),
        ModelSource(backbone="vit_micro", checkpoint=path, overrides=limits),
    )
    for number, source in enumerate(sources):
        open_task("trackfolder", source, shared_data / "sequences").run(tmp_path / str(number))
    boxes = [read_boxes(tmp_path / str(number) / "tracked") for number in (0, 1)]
    assert boxes[0] == boxes[1] != {}
    for content in boxes[0].values():
        assert len(set(content.splitlines())) > 5, "it moves"


def test_results_in_the_form_of_the_field(run: Path, tmp_path: Path) -> None:
    """As ``np.savetxt(file, boxes.astype(int), delimiter='\\t', fmt='%d')`` of OSTrack's running.py."""
    open_task("trackfolder", ModelSource(run=run), make_folder(tmp_path / "data")).run(tmp_path / "out")
    ours = np.loadtxt(tmp_path / "out" / "tracked" / "seq0.txt", delimiter=",")
    np.savetxt(tmp_path / "theirs.txt", ours.astype(int), delimiter="\t", fmt="%d")
    field = tmp_path / "out" / "results_ostrack"
    assert (field / "seq0.txt").read_bytes() == (tmp_path / "theirs.txt").read_bytes()
    seconds = np.loadtxt(field / "seq0_time.txt")
    milliseconds = np.loadtxt(tmp_path / "out" / "tracked" / "seq0_times.txt", delimiter=",")[:, 0]
    assert seconds == pytest.approx(milliseconds / 1000, abs=1e-6) and seconds.shape == (6,)


def test_what_is_no_finished_tracker_is_a_sentence(run: Path, tmp_path: Path) -> None:
    root, file = make_folder(tmp_path / "data"), tmp_path / "a.pth"
    torch.save({"net": {"a": torch.zeros(1)}}, file)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"backbone": "vit_micro"}, "vit_micro alone is no tracker"),
        ({"config": file, "checkpoint": file}, "a config of mmsegmentation is no tracker"),
        ({"checkpoint": file}, "is not in the folder of a run"),
        ({"backbone": "vit_micro", "checkpoint": file}, "is not an OSTrack-style tracker"),
        ({"run": run, "overrides": ("ce=false",)}, "the run mine says ce=true, and --set asks for ce=false"),
        ({"run": run, "overrides": ("search_size=128",)}, "says search_size=64, and --set asks for search_size=128"),
        ({"run": run, "overrides": ("protocol=ostrack256",)}, "knows its protocol"),
        ({"run": run, "precision": "int8"}, "is one of an exported model"),
        ({"run": tmp_path}, "cannot read"),
        ({"checkpoint": run / "checkpoints" / "nothing.pth"}, r"nothing\.pth"),
        ({"checkpoint": run / "record.json"}, r"record\.json"),
        ({"checkpoint": run / "checkpoints" / "last_00000002.pth", "weights_key": "ema"}, "hold one version"),
    ]
    for source, said in cases:
        with pytest.raises(UserError, match=said):
            open_task("trackfolder", ModelSource(**source), root)
    for override, said in (("sice=1", "no setting 'sice'"), ("ce", "key=value"), ("max_items=1", "max_items")):
        with pytest.raises(ConfigError, match=said):
            open_task("trackfolder", ModelSource(run=run, overrides=(override,)), root)


def test_weights_of_another_run_are_refused(tmp_path: Path) -> None:
    """A file of the same name, copied with its description, would give a plausible wrong number."""
    run, root = make_run(tmp_path / "run", backbone="vit_pico"), make_folder(tmp_path / "data")
    record, (weights,) = read_record(run), (run / "checkpoints").glob("last_*.pth")
    with checkpoint_writer(weights, CheckpointOwner(record.run_id, record.seed)) as partial:
        partial.write_bytes(weights.read_bytes())
    assert open_task("trackfolder", ModelSource(run=run), root).tracker.run == run
    with checkpoint_writer(weights, CheckpointOwner("0123456789abcdef", record.seed)) as partial:
        partial.write_bytes(weights.read_bytes())
    for source in (ModelSource(run=run), ModelSource(checkpoint=weights)):
        with pytest.raises(CheckpointError, match=r"belongs to run 0123456789abcdef, .*not this one"):
            open_task("trackfolder", source, root)


def test_a_test_set_trains_nothing() -> None:
    task = TASKS.get("uav123")
    assert task.protocols == (AS_IS,) and task.expected == {"test": 123}
    request: RunRequest = None  # type: ignore[assignment]
    for attempt in (
        lambda: task.plan(request, None),  # type: ignore[arg-type]
        lambda: task.make_control("noise_images"),
    ):
        with pytest.raises(UserError, match="nothing is trained on it"):
            attempt()
    with pytest.raises(UserError, match=r"must be downloaded by hand .* below data"):
        task.download_data(Path("data"))
    assert [TASKS.get(name).expected["test"] for name in ("got10k_test", "trackingnet", "nfs")] == [180, 511, 100]


def test_a_set_that_is_not_complete_needs_subset(run: Path, tmp_path: Path) -> None:
    root = make_sets.make_nfs(tmp_path / "data")
    request = EvaluationRequest("nfs", ModelSource(run=run, device="cpu"), root, tmp_path / "runs")
    with pytest.raises(DataError, match=r"ground truth of 2 sequences, NfS \(30 fps\) has 100.*add --subset"):
        evaluate_model(request)
    record = evaluate_model(replace(request, allow_subset=True)).record
    assert record.data.deviations and json.dumps(record.model_dump(mode="json"))


def test_an_evaluation_on_got10k_is_drawn_by_its_own_metric(run: Path, tmp_path: Path) -> None:
    root = make_sets.make_got10k_val(tmp_path / "data")
    source = ModelSource(run=run, device="cpu")
    cell = evaluate_model(EvaluationRequest("got10k_val", source, root, tmp_path / "runs", allow_subset=True))
    pictures = TASKS.get("got10k_val").visualize_run(cell.folder, cell.record, root)
    checks = check_stored_predictions(cell.folder, cell.record, TASKS.get("got10k_val"), root)
    assert [check.state for check in checks] == ["holds"], "bench verify scores by the same rules"
    assert all(", AO " in picture.entry.title for picture in pictures) and len(pictures) > 1
    assert cell.record.result is not None and cell.record.result.primary_metric == "AO"
