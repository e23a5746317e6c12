"""The steps of a detection run on the miniature, through the real command."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.cli.main import main
from detection.tasks import COCO, MINI_COCO
from foundation.files import sha256_file
from results.statistics.average_precision.match_tables import split_match_tables
from results.statistics.average_precision.scores import compute_detection_score
from tests.conftest import BENCH, Bench
from tests.detection.make import write_small_coco
from tests.engine.processes.start import start_processes
from tests.engine.test_training import only_record
from tests.limits import HANG_SECONDS

SMALL = ("size=96", "model.channels=16", "model.box_channels=16", "test.min_score=0.0", "test.per_image=10")
RUN = ("run", "mini_coco", "--backbone", "vit_nano", "--tier", "smoke", "--device", "cpu")


@pytest.fixture(scope="module")
def out(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    cache = tmp_path_factory.getbasetemp() / "cache"  # the tests' own, which the fixture of that name sets later
    done = bench(*RUN, "--out", str(folder), "--set", *SMALL, BENCH_CACHE=str(cache))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return folder


def test_the_record(out: Path) -> None:
    record = only_record(out)
    assert record["status"] == "complete"
    assert record["done"] == record["expected"] == 64
    assert record["result"]["selection"] == {
        "split": "none", "metric": "box_AP", "candidates": 1, "chosen": "iteration 4, the last", "value": None,
    }  # fmt: skip
    assert record["config"]["recipe"]["precision"] == "fp32"
    assert record["result"]["primary_metric"] == "box_AP"
    assert set(record["result"]["metrics"]) == {spec.name for spec in MINI_COCO.metrics}
    details = record["result"]["details"]
    assert all(details["second_implementation"][kind]["largest_difference"] < 1e-6 for kind in ("box", "mask"))
    assert details["has_masks"] and details["classes"] == 7
    assert details["counts"]["images"] == 64 and details["counts"]["detections"] == 64 * 10
    assert details["test_mode"].startswith("longer side 96 px, padded to a square, single scale, no flip")
    alone, whole = details["backbone_alone"], details["whole_model"]
    assert alone["img_size"] == whole["img_size"] == 96
    assert 0 < alone["macs"] < whole["macs"] and alone["parameters"] < whole["parameters"]
    assert whole["parameters"] == record["backbone"]["parameters"]


def test_the_numbers_follow_from_the_kept_matches(out: Path) -> None:
    (folder,) = out.glob("mini_coco/*")
    record = only_record(out)
    assert sha256_file(folder / "matches.npy") == record["result"]["details"]["matches"]["sha256"]
    assert sha256_file(folder / "detections.json") == record["result"]["details"]["detections"]["sha256"]
    tables = split_match_tables(np.load(folder / "matches.npy"), 64)
    metrics = record["result"]["metrics"]
    for name in metrics:
        kind, _, score = name.partition("_")
        assert metrics[name]["value"] == pytest.approx(compute_detection_score(tables[kind], score), abs=1e-9)
    with (folder / "items.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["item"]) for row in rows] == list(range(64))


def test_show_run_draws(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = out.glob("mini_coco/*")
    assert main(["show", "run", str(folder), "--json"]) == 0
    files = [Path(name) for name in json.loads(capsys.readouterr().out)["pictures"]]
    assert [path.name.split("_")[0] for path in files] == ["worst", "median", "best", "ap"]
    for path in files:
        assert np.asarray(Image.open(path)).std() > 10, "something is drawn"


def test_verify_scores_the_stored_detections_again(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = out.glob("mini_coco/*")
    assert main(["verify", str(folder), "--json"]) == 0
    found, _ledger = json.loads(capsys.readouterr().out)
    states = {check["subject"]: check["state"] for check in found["checks"]}
    for name in ("box_AP", "mask_AP", "box_AR_large", "stored predictions", "items", "settings"):
        assert states[name] == "holds", name


def test_edited_detections_are_found(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    (folder,) = out.glob("mini_coco/*")
    copy = shutil.copytree(folder, tmp_path / "copy")
    found = json.loads((copy / "detections.json").read_text())
    changed = [{**each, "score": 0.99} if place == 0 else each for place, each in enumerate(found)]
    (copy / "detections.json").write_text(json.dumps(changed))
    assert main(["verify", str(copy)]) == 1
    assert "of 64 items are not what the table" in capsys.readouterr().out


def test_the_official_set_that_is_missing_says_what_to_fetch(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--backbone", "vit_nano", "--data-root", str(tmp_path), "--device", "cpu"]
    assert main(["run", "coco", *words, "--out", str(tmp_path / "runs")]) == 2
    said = capsys.readouterr().err
    assert "unpack train2017.zip, val2017.zip and annotations_trainval2017.zip into one folder coco" in said
    assert main(["get", "data", "coco", "--data-root", str(tmp_path)]) == 2
    assert "cocodataset.org" in capsys.readouterr().err


def test_a_subset_of_coco_deviates_and_fp16_needs_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_small_coco(tmp_path, 4)
    found = COCO.check_data(tmp_path)
    assert found.splits == {"train": 4, "test": 4}
    assert any("118,287" in each for each in found.deviations) and any("5,000" in each for each in found.deviations)
    words = ["--backbone", "vit_nano", "--data-root", str(tmp_path), "--device", "cpu", "--subset"]
    assert main(["run", "coco", *words, "--out", str(tmp_path / "runs")]) == 2
    assert "precision fp16 needs a GPU; set precision=bf16 or precision=fp32" in capsys.readouterr().err


def test_a_resumed_run_has_the_same_numbers(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped after the second of four steps, at which a checkpoint is written, and begun again."""
    from engine.checkpoints import CheckpointRunner

    call = CheckpointRunner.call_hook

    def stop(self: Any, moment: str, **arguments: Any) -> None:
        call(self, moment, **arguments)
        if moment == "after_train_iter" and self.iter == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(CheckpointRunner, "call_hook", stop)
        assert main([*RUN, "--out", str(tmp_path), "--set", *SMALL]) != 0
    assert only_record(tmp_path)["status"] != "complete"
    assert main([*RUN, "--out", str(tmp_path), "--set", *SMALL]) == 0
    again, whole = only_record(tmp_path), only_record(out)
    assert again["run_id"] == whole["run_id"] and again["cost"]["attempts"] == 2
    (first,), (second,) = out.glob("mini_coco/*"), tmp_path.glob("mini_coco/*")
    # the fixture ran in a process of its own, perhaps with another number of threads
    if again["environment"]["threads"] == whole["environment"]["threads"]:
        assert (second / "detections.json").read_bytes() == (first / "detections.json").read_bytes()
        assert again["result"]["metrics"] == whole["result"]["metrics"]


@pytest.mark.soak
def test_two_processes_and_two_pieces_give_the_number_of_one(out: Path, tmp_path: Path) -> None:
    """Each holds whole groups of images; sums are rounded in another order, so scores differ in their last digits."""
    words = [*RUN, "--launcher", "slurm", "--set", *SMALL]
    children = start_processes([BENCH, *words, "--out", str(tmp_path / "two")], 2, tmp_path)
    said = [child.communicate(timeout=HANG_SECONDS)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert main([*RUN, "--out", str(tmp_path / "pieces"), "--set", *SMALL, "accumulate=2"]) == 0
    whole, expected = only_record(out), read_detections(out)
    for folder in (tmp_path / "two", tmp_path / "pieces"):
        record, found = only_record(folder), read_detections(folder)
        assert record["run_id"] == whole["run_id"]
        assert [each["image_id"] for each in found] == [each["image_id"] for each in expected]
        for ours, theirs in zip(found, expected, strict=True):
            assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)
        for name, metric in whole["result"]["metrics"].items():
            assert record["result"]["metrics"][name]["value"] == pytest.approx(metric["value"], abs=0.05)


def read_detections(out: Path) -> list[dict[str, Any]]:
    (path,) = out.glob("mini_coco/*/detections.json")
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found
