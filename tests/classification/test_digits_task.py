"""The issue's own command and its record."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from mmengine.config import Config
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from backbones.create import create_backbone
from classification.digits_task import CONFIG_DIR
from foundation.files import sha256_file
from results.records.store import read_record
from tests.conftest import Bench, run_digits_tier


@pytest.fixture(scope="module")
def folder(digits_run: Path) -> Path:
    (path,) = digits_run.rglob("record.json")
    return path.parent


def expected_top1(backbone: str) -> dict[str, float]:
    """What the protocol's file says."""
    file = Config.fromfile(CONFIG_DIR / "digits_finetune.py", lazy_import=False)
    found: dict[str, float] = file.expected[backbone]
    return found


@pytest.mark.soak
def test_reaches_96_percent(tmp_path: Path) -> None:
    (path,) = run_digits_tier(tmp_path, "full").rglob("record.json")
    record = read_record(path.parent)
    assert record.status == "complete"
    assert record.result is not None
    assert record.result.metrics["top1"].value >= 96.0
    expected = expected_top1("vit_nano")
    assert abs(record.result.metrics["top1"].value - expected["top1"]) <= expected["tolerance"]
    assert record.backbone.init == "random"
    assert record.backbone.parameters == 214_218


def test_the_number_follows_from_the_items(folder: Path) -> None:
    record = read_record(folder)
    assert record.result is not None
    assert sha256_file(folder / "items.csv") == record.result.items.sha256
    with (folder / "items.csv").open() as file:
        rows = list(csv.DictReader(file))
    labels, predictions = ([int(row[name]) for row in rows] for name in ("label", "prediction"))
    metrics = record.result.metrics
    assert metrics["top1"].value == pytest.approx(100 * accuracy_score(labels, predictions), abs=1e-9)
    assert metrics["mean_per_class"].value == pytest.approx(
        100 * balanced_accuracy_score(labels, predictions), abs=1e-9
    )


def test_the_epoch_was_chosen_on_val(folder: Path) -> None:
    record = read_record(folder)
    assert record.result is not None
    assert record.result.selection.split == "val"
    assert record.result.selection.candidates == 4


def test_same_command_again_is_answered_from_the_record(digits_run: Path, bench: Bench) -> None:
    words = (
        "run",
        "digits",
        "--backbone",
        "vit_nano",
        "--tier",
        "short",
        "--set",
        "epochs=4",
        "--out",
        str(digits_run),
    )
    again = bench(*words)
    assert again.returncode == 0
    assert "answered from the record, --fresh runs it again" in again.stdout
    (cell,) = json.loads(bench(*words, "--json").stdout)
    assert cell["from_record"] is True
    assert len(list(digits_run.rglob("record.json"))) == 1


def test_its_best_weights_start_another_run(folder: Path, bench: Bench, tmp_path: Path) -> None:
    (weights,) = sorted((folder / "checkpoints").glob("best_*.pth"))[-1:]
    created = create_backbone("vit_nano", checkpoint=str(weights), num_classes=10, global_pool="avg")
    assert created.load_report is not None
    assert created.load_report.matched_fraction == 1.0
    words = ("run", "digits", "--backbone", "vit_nano", "--tier", "smoke", "--out", str(tmp_path), "--json")
    started = bench(*words, "--checkpoint", str(weights))
    assert started.returncode == 0, started.stderr
    record = json.loads(started.stdout)[0]["record"]
    assert record["backbone"]["init"] == "checkpoint"
    assert record["backbone"]["checkpoint"]["sha256"] == sha256_file(weights)
    assert record["backbone"]["checkpoint"]["load_report"]["matched_fraction"] == 1.0
    scratch = json.loads(bench(*words).stdout)[0]["record"]
    top1 = [each["result"]["metrics"]["top1"]["value"] for each in (record, scratch)]
    assert top1[0] > top1[1] + 20, "two epochs after four are far above two from random weights"
    assert record["comparability"] == scratch["comparability"]
