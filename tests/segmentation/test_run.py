"""The steps of a segmentation run on the miniature, through the real command."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.cli.main import main
from engine.checkpoints import CheckpointRunner
from foundation.files import sha256_file
from segmentation.data.files import read_label_map
from segmentation.metrics import compute_segmentation_scores, count_class_areas
from segmentation.tasks import MINI_ADE
from tests.conftest import Bench
from tests.engine.test_training import only_record
from tests.segmentation.make import write_small_ade

RUN = ("run", "mini_ade", "--backbone", "vit_nano", "--protocol", "semantic_fpn", "--tier", "smoke")


@pytest.fixture(scope="module")
def out(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    cache = tmp_path_factory.getbasetemp() / "cache"  # the tests' own, which the fixture of that name sets later
    done = bench(*RUN, "--out", str(folder), BENCH_CACHE=str(cache))
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return folder


def details(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = only_record(out)["result"]["details"]
    return content


def test_the_record(out: Path) -> None:
    record = only_record(out)
    assert record["status"] == "complete"
    assert record["done"] == record["expected"] == 24
    assert record["result"]["selection"] == {
        "split": "none", "metric": "mIoU", "candidates": 1, "chosen": "iteration 6, the last", "value": None,
    }  # fmt: skip
    assert record["config"]["norm_batch"] == 8
    assert record["non_identity_settings"]["norm"] == "BN"
    assert set(record["result"]["metrics"]) == {"mIoU", "mIoU_all", "aAcc", "mAcc"}
    more = details(out)
    assert more["second_implementation"]["largest_difference"] < 1e-4
    assert more["whole_model"]["parameters"] == record["backbone"]["parameters"]
    assert more["whole_model"]["macs"] > 1e6


def test_the_number_follows_from_the_kept_predictions_and_areas(out: Path) -> None:
    (folder,) = out.glob("mini_ade/*")
    found = MINI_ADE.find_dataset(Path("nowhere"))
    kept = np.load(folder / "areas.npy")
    assert kept.shape == (24, 3, 150)
    assert sha256_file(folder / "areas.npy") == details(out)["areas"]["sha256"]
    with (folder / "items.csv").open() as file:
        rows = list(csv.DictReader(file))
    for item, pair in enumerate(found.splits["test"]):
        labels = read_label_map(folder / "predictions" / f"{pair.name}.png", found.label_space)
        counted = count_class_areas(labels, read_label_map(pair.label_path, found.label_space), 150)
        assert (counted == kept[item]).all()
        assert float(rows[item]["mIoU"]) == pytest.approx(compute_segmentation_scores(counted).mIoU)
    total = compute_segmentation_scores(kept.sum(0))
    metrics = only_record(out)["result"]["metrics"]
    assert metrics["mIoU"]["value"] == pytest.approx(total.mIoU)
    assert metrics["mIoU_all"]["value"] == pytest.approx(total.mIoU_all)


def test_show_run_draws(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = out.glob("mini_ade/*")
    assert main(["show", "run", str(folder), "--json"]) == 0
    files = [Path(name) for name in json.loads(capsys.readouterr().out)["pictures"]]
    assert [path.name.split("_")[0] for path in files] == ["worst", "median", "best", "iou"]
    for path in files:
        assert np.asarray(Image.open(path)).std() > 10, "something is drawn"


def test_a_moved_prediction_is_said(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    (folder,) = out.glob("mini_ade/*")
    copy = shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(copy / "predictions")
    shutil.rmtree(copy / "pictures")
    assert main(["show", "run", str(copy)]) == 0
    assert "pictures: none: the image or the prediction of" in capsys.readouterr().out


def test_a_bad_file_stops_the_run_in_a_loader_process(tmp_path: Path, bench: Bench) -> None:
    write_small_ade(tmp_path)
    image = tmp_path / "ADEChallengeData2016" / "images" / "training" / "ADE_train_00000002.jpg"
    image.write_bytes(image.read_bytes()[:-200])
    words = ("run", "ade20k", "--backbone", "vit_nano", "--subset", "--tier", "smoke", "--data-root", str(tmp_path))
    small = ("crop=32", "test.stride=32", "batch_size=2", "test.scale=none", "model.decode_head.channels=8")
    done = bench(*words, "--out", str(tmp_path / "runs"), "--set", *small, "workers=1")
    assert done.returncode == 2, done.stderr
    said = done.stderr.strip().splitlines()
    assert len(said) == 1, done.stderr
    assert "ADE_train_00000002.jpg cannot be decoded" in said[0]
    assert only_record(tmp_path / "runs")["status"] == "failed"


def test_out_of_memory_says_what_to_lower(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # no setting is large enough any more for a machine of any size
    monkeypatch.setattr(CheckpointRunner, "train", lambda _: torch.empty(10**14))
    assert main([*RUN, "--out", str(tmp_path)]) == 2
    said = capfd.readouterr().err
    assert "out of memory: split each batch into more micro-batches (--set accumulate=2, 4 ...)" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("accumulate=8", "leaves batch norm 1 image to average over"),
        ("test.stride=100", "test.stride 100 is larger than crop 64, so windows would leave gaps"),
        ("model.decode_head.chanels=8", "did you mean model.decode_head.channels"),
    ],
)
def test_settings_that_cannot_work(
    change: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*RUN, "--out", str(tmp_path / "runs"), "--set", change]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("record.json"))


def test_a_folder_with_a_validation_split_chooses_on_it(tmp_path: Path, bench: Bench) -> None:
    draw = np.random.default_rng(0)
    (tmp_path / "classes.txt").write_text("dark\nbright\n")
    for split in ("train", "val", "test"):
        for part in ("images", "labels"):
            (tmp_path / part / split).mkdir(parents=True)
        for name in ("a", "b"):
            labels = draw.integers(0, 2, (8, 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
            Image.fromarray(np.stack([labels * 200] * 3, -1)).save(tmp_path / "images" / split / f"{name}.png")
            Image.fromarray(labels).save(tmp_path / "labels" / split / f"{name}.png")
    words = ("run", "segfolder", "--backbone", "vit_nano", "--protocol", "linear", "--tier", "smoke")
    small = ("crop=32", "test.stride=32", "batch_size=2", "train.scale=[64, 64]", "workers=0", "schedule.warmup=1")
    done = bench(*words, "--data-root", str(tmp_path), "--out", str(tmp_path / "runs"), "--set", *small)
    assert done.returncode == 0, done.stderr
    record = only_record(tmp_path / "runs")
    assert record["result"]["selection"]["split"] == "val"
    assert record["result"]["selection"]["candidates"] == 2
    assert record["data"]["splits"] == {"train": 2, "test": 2, "val": 2}
    assert record["done"] == 2


def test_verify_recomputes_and_evaluates_again(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = out.glob("mini_ade/*")
    assert main(["verify", str(folder), "--rerun-eval", "--device", "cpu", "--json"]) == 0
    found, _ledger = json.loads(capsys.readouterr().out)
    states = {check["subject"]: check["state"] for check in found["checks"]}
    for name in ("mIoU", "mIoU_all", "aAcc", "mAcc", "areas.npy"):
        assert states[name] == states.get(f"{name} evaluated again", "holds") == "holds"
