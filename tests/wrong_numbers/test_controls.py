"""Negative controls: without signal no score is left, a leaky protocol is caught, and nothing is left behind."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import classification.protocols
import segmentation.run
import tracking.protocols
from backbones.create import create_backbone
from benchmarks.cli.main import main
from benchmarks.negative_controls.check_protocols import (
    ControlLine,
    ControlRequest,
    run_negative_controls,
    summarize_verdicts,
)
from benchmarks.negative_controls.report import format_controls
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from benchmarks.task_registry import TASKS
from classification.controls import NoiseImages, destroy_digits, destroy_images
from classification.data.image_collections import ImageFiles
from classification.digits_task import DIGITS
from classification.image_tasks import IMAGE_TASKS
from classification.metrics import ScoredItem
from classification.probes.probe_outcome import build_accuracy_outcome
from engine.data import digits as digits_data
from engine.data.control_task import ControlTask
from engine.task import ControlKind, DataReport, MetricSpec, RunPlan, Task, TaskOutcome
from foundation.errors import UserError
from results.records.record import MetricValue, ModelSelection
from results.statistics.metric_statistics import MetricStatistic
from segmentation.controls import ControlReader, answer_best_mask, exchange_label_files
from segmentation.data.dataset_layout import ADE20K_LABEL_SPACE, ImageLabelPair
from segmentation.data.files import read_label_map
from segmentation.tasks import MINI_ADE
from tracking.controls import ControlSamplers, ExchangedBoxes, NoisePairs, answer_first_box, replace_frames
from tracking.data.pair_dataset import PairDataset
from tracking.data.readers import sequence
from tracking.protocols import load_protocol_recipe
from tracking.tasks import MINI_LASOT

KINDS: tuple[ControlKind, ...] = ("intact", "labels_only", "shuffled_labels", "noise_images")

TRACKER = (
    # without jitter of light and mirroring, and with small batches, a tracker learns to follow these targets in 10 s
    *("--tier", "full", "--backbone", "vit_pico", "--set", "dataset_weights.photos=0", "dataset_weights.mini_lasot=1"),
    *("epochs=3", "batch_size=8", "head_channels=64", "schedule.warmup=0", "box_loss_cell=center", "val_pairs=16"),
    *("brightness=0", "flip=0", "frame_flip=0", "grayscale=0", "workers=0", "track_processes=1"),
)
EMBEDDED = {
    ("digits", "knn"): (),
    ("digits", "linear"): (),
    ("digits", "linear_sgd"): (),
    ("digits", "lowshot"): ("--set", "shots=8", "draws=3"),
    ("digits", "finetune"): (),
    ("mini_ade", "semantic_fpn"): (),
    ("mini_lasot", "fast64"): TRACKER,
}


def check_task(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON of ``bench check task ... --controls``."""
    code = main(["check", "task", *words, "--controls", "--device", "cpu", "--json"])
    return code, json.loads(capsys.readouterr().out)


SLOW = {("mini_ade", "semantic_fpn"), ("mini_lasot", "fast64")}  # trainings of many seconds, several times each


@pytest.mark.parametrize(
    ("task", "protocol"),
    [pytest.param(*cell, marks=[pytest.mark.soak] if cell in SLOW else []) for cell in EMBEDDED],
)
def test_no_score_is_left_without_the_signal(
    task: str, protocol: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # a quarter of the tracker's time would go into decoding the same few frames
    monkeypatch.setattr(sequence, "read_image", functools.cache(sequence.read_image))
    words = EMBEDDED[task, protocol]
    code, found = check_task(capsys, task, "--protocol", protocol, *words)
    assert found["verdicts"] == {protocol: "ok"} and code == 0, found
    baseline, intact, *controls = found["runs"]
    assert (baseline["verdict"], intact["verdict"]) == ("baseline", "ok")
    assert {line["run"].split(",")[0] for line in controls} == {"shuffled labels", "noise images"}
    assert all(line["gain_low"] <= 0 < intact["gain_low"] for line in controls)


def test_every_task_has_controls() -> None:
    for name in TASKS.list_names():
        task = TASKS.get(name)
        if type(task).__module__.split(".")[0] in ("classification", "segmentation", "detection", "tracking"):
            assert type(task).make_control is not Task.make_control, name


# a protocol that reads what it must not


def leak_labels(every: int) -> Callable[..., TaskOutcome]:
    """A probe that knows the class of every n-th test image, and answers 0 for the others."""

    def run_leaky(frozen: Any, recipe: Any, task: Task) -> TaskOutcome:
        rows = [
            ScoredItem(item, label, label if item % every == 0 else 0, 1.0, 0)
            for item, label in enumerate(frozen.splits["test"].labels)
        ]
        chosen = ModelSelection(split="none", metric="top1", candidates=1, chosen="the answer")
        return build_accuracy_outcome(frozen, task, rows, chosen, {})

    return run_leaky


@pytest.mark.parametrize("every", [1, 5])
def test_a_probe_that_reads_the_test_labels_fails(
    every: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(classification.protocols.FROZEN_PROTOCOLS, "knn", leak_labels(every))
    assert main(["check", "task", "digits", "--controls", "--protocol", "knn", "--backbone", "vit_pico"]) == 1
    said = capsys.readouterr().out
    assert said.count("FAILED") == 3
    assert "digits knn: FAILED: shuffled labels, 5 runs and noise images, 5 runs beat what the labels alone" in said


def test_a_loader_that_writes_the_label_into_the_image_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every image is as bright as its label is high, in train and in test: the probe learns it from any labels."""
    load = digits_data.DigitsDataset.__getitem__

    def load_leaky(self: digits_data.DigitsDataset, index: int) -> dict[str, Any]:
        item = load(self, index)
        return item | {"images": np.full_like(item["images"], item["labels"] / 5 - 1)}

    monkeypatch.setattr(digits_data.DigitsDataset, "__getitem__", load_leaky)
    code, found = check_task(capsys, "digits", "--protocol", "knn", "--backbone", "vit_pico")
    assert code == 1 and found["verdicts"] == {"knn": "FAILED"}


def test_a_segmentation_that_reads_the_test_labels_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_leaky(cell: Any, folder: Path) -> TaskOutcome:
        from segmentation import controls

        def repeat_truth(item: int, size: tuple[int, int]) -> Any:
            truth = cell.read_pair(cell.dataset.splits["test"][item], cell.dataset.label_space)[1]
            return np.where(truth == 255, 0, truth)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(controls, "_make_guesses", lambda dataset: {"the truth": repeat_truth})
            return controls.answer_best_mask(cell.dataset, cell.task.metrics, folder)

    monkeypatch.setattr(segmentation.run, "run_protocol", run_leaky)
    code, found = check_task(capsys, "mini_ade", "--protocol", "linear")
    assert code == 1 and found["verdicts"] == {"linear": "FAILED"}
    assert found["runs"][2]["value"] == 100


@pytest.mark.soak
def test_a_tracker_that_reads_the_test_boxes_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run_leaky(request: Any, plan: Any, videos: Any, out: Path, task: Task, make_samplers: Any) -> TaskOutcome:
        from tracking.inference import result_files

        write = result_files.write_tracked_sequence

        def write_truth(folder: Path, video: Any, tracked: Any) -> None:
            write(folder, video, tracked._replace(boxes=video.boxes))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tracking.controls.write_tracked_sequence", write_truth)
            return answer_first_box(videos, ["AUC"], out)

    monkeypatch.setattr(tracking.protocols, "run_protocol", run_leaky)
    code, found = check_task(capsys, "mini_lasot", "--protocol", "fast64", "--backbone", "vit_pico")
    assert code == 1 and found["verdicts"] == {"fast64": "FAILED"}


# how the runs are judged, on a task whose scores are set


class ScriptedTask(Task):
    """A task whose runs have 400 items, of which as many are right as its script says, by kind and seed."""

    name, domain, summary, protocols = "scripted", "toy", "a task with given scores", ("only",)
    metrics = (MetricSpec("right", "%", True, MetricStatistic("mean", ("right",))),)
    expected: Mapping[str, int] = {}

    def __init__(self, script: Mapping[ControlKind, tuple[int, ...]], higher_is_better: bool = True) -> None:
        self.script = script
        self.metrics = (self.metrics[0]._replace(higher_is_better=higher_is_better),)

    def check_data(self, root: Path, decode: Any = "none") -> DataReport:
        return DataReport("0" * 64, {"test": 400})

    def plan(self, request: Any, data: DataReport) -> RunPlan:
        return RunPlan(1, {"recipe": {}}, {}, {"num_classes": 0}, 400, ())

    def run(self, request: Any, plan: RunPlan, out: Path) -> TaskOutcome:
        raise AssertionError("only its controls run")

    def make_control(self, kind: ControlKind, seed: int = 0) -> Task:
        def run_variant(request: Any, plan: RunPlan, out: Path) -> TaskOutcome:
            right = self.script[kind][seed]
            order = np.random.default_rng((len(kind), seed)).permutation(400)
            rows = [(item, 100.0 if order[item] < right else 0.0) for item in range(400)]
            value = MetricValue(value=right / 4, unit="%", higher_is_better=self.metrics[0].higher_is_better, n=400)
            chosen = ModelSelection(split="none", metric="right", candidates=1, chosen="the script")
            return TaskOutcome({"right": value}, ("item", "right"), rows, chosen, None, None, 1, {})

        return ControlTask(self, kind, seed, run_variant)


def judge(
    tier: Any = "smoke", higher_is_better: bool = True, **script: tuple[int, ...]
) -> tuple[str, list[ControlLine], str]:
    """The verdict, the lines and the report of a scripted task."""
    whole: Any = {"labels_only": (40,), "intact": (200,), "shuffled_labels": (40,), "noise_images": (40,)} | script
    request = ControlRequest(ScriptedTask(whole, higher_is_better), "vit_pico", tier=tier, device="cpu")
    lines = run_negative_controls(request)
    return summarize_verdicts(lines)["only"], lines, format_controls(request, lines)


@pytest.mark.soak
def test_one_lucky_order_of_labels_is_repeated_and_forgiven() -> None:
    verdict, lines, _ = judge(shuffled_labels=(70, 35, 40, 45, 36))
    assert verdict == "ok"
    assert [(line.run, line.num_runs) for line in lines] == [
        ("labels only", 1),
        ("intact, random weights", 1),
        ("shuffled labels, 5 runs", 5),
        ("noise images", 1),
    ]


@pytest.mark.soak
def test_a_control_that_beats_the_baseline_with_every_seed_fails() -> None:
    verdict, lines, said = judge(shuffled_labels=(70, 66, 72, 68, 71))
    assert verdict == "FAILED" and [line.verdict for line in lines] == ["baseline", "ok", "FAILED", "ok"]
    assert "only: FAILED: shuffled labels, 5 runs beat what the labels alone give" in said


def test_chance_that_varies_from_seed_to_seed_is_within_the_interval() -> None:
    """The items alone would say that 14 % are more than 10 %; the seeds say that this happens."""
    verdict, _, _ = judge(shuffled_labels=(75, 38, 80, 35, 52))
    assert verdict == "ok"


def test_an_intact_run_that_learned_nothing_proves_nothing() -> None:
    verdict, lines, said = judge(intact=(45,))
    assert verdict == "inconclusive" and lines[1].verdict == "inconclusive"
    assert "use --tier short" in said
    assert "use --tier full" in judge("short", intact=(45,))[2]
    # a failure is one whether or not the intact run learned anything
    assert judge(intact=(45,), noise_images=(70, 66, 72, 68, 71))[0] == "FAILED"


@pytest.mark.soak
def test_where_lower_is_better_a_control_fails_by_less() -> None:
    errors = {"labels_only": (200,), "intact": (40,), "shuffled_labels": (230,), "noise_images": (200,)}
    assert judge(higher_is_better=False, **errors)[0] == "ok"
    assert judge(higher_is_better=False, **errors | {"noise_images": (150, 155, 148, 151, 150)})[0] == "FAILED"


@pytest.mark.soak
def test_random_weights_stand_beside_those_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are reported and not judged: what random features reach is the business of the task."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path))
    model = create_backbone("mae_vit_cifar", checkpoint="random", num_classes=0).model
    torch.save(model.state_dict(), tmp_path / "mae_vit_cifar.pth")
    script: Any = dict.fromkeys(KINDS, (40,)) | {"intact": (200,)}
    lines = run_negative_controls(ControlRequest(ScriptedTask(script), "mae_vit_cifar", device="cpu"))
    assert [(line.run, line.verdict) for line in lines[1:3]] == [("intact", "ok"), ("random weights", "not judged")]


# what the command says


class PlainTask(ScriptedTask):
    """A task whose author wrote no controls."""

    make_control = Task.make_control


def test_a_task_without_controls_says_so() -> None:
    with pytest.raises(UserError, match="task scripted has no negative controls: its class does not define make_contr"):
        run_negative_controls(ControlRequest(PlainTask({}), "vit_pico"))


def test_bad_words_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "task", "digits"]) == 2
    assert "add --controls" in capsys.readouterr().err
    assert main(["check", "task", "digits", "--controls", "--protocol", "knm"]) == 2
    assert "has no protocol 'knm'; did you mean knn?" in capsys.readouterr().err


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="run in one process"):
        run_negative_controls(ControlRequest(DIGITS, "vit_pico"))


# nothing is left behind


def test_no_record_and_no_feature_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, temporary = tmp_path / "cache", tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("BENCH_CACHE", str(cache))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    code, _ = check_task(capsys, "digits", "--protocol", "knn", "--backbone", "vit_pico")
    assert code == 0
    assert not (cache / "features").exists()
    assert not list(temporary.iterdir()) and not (tmp_path / "runs").exists()
    assert not list(tmp_path.rglob("record.json"))


def test_a_control_shares_neither_name_nor_fingerprint() -> None:
    reports = {DIGITS.name: DIGITS.check_data(Path("data"))}
    for kind in KINDS:
        for seed in (0, 1):
            control = DIGITS.make_control(kind, seed)
            reports[control.name] = control.check_data(Path("data"))
    assert len(reports) == len({report.fingerprint for report in reports.values()}) == 9
    # the feature cache takes its key from the data and not from the report
    digits = digits_data.load_digits_data()
    keys = {destroy_digits(digits, kind, seed).fingerprint for kind in KINDS for seed in (0, 1)}
    assert len(keys | {digits.fingerprint}) == 9


# what is changed, and what is not


def test_digits_lose_their_labels_or_their_images() -> None:
    digits = digits_data.load_digits_data()
    shuffled, noise = (destroy_digits(digits, kind, 3) for kind in ("shuffled_labels", "noise_images"))
    for split in ("train", "val"):
        members = digits.splits[split]
        assert sorted(shuffled.labels[members]) == sorted(digits.labels[members])
        assert 0.05 < (shuffled.labels[members] == digits.labels[members]).mean() < 0.18
    assert (shuffled.labels[digits.splits["test"]] == digits.labels[digits.splits["test"]]).all()
    assert (shuffled.images == digits.images).all() and (noise.labels == digits.labels).all()
    correlation = np.corrcoef(noise.images.ravel(), digits.images.ravel())[0, 1]
    assert abs(correlation) < 0.02 and noise.images.dtype == np.float32 and 0 <= noise.images.min() < noise.images.max()
    assert (destroy_digits(digits, "shuffled_labels", 3).labels == shuffled.labels).all()
    assert (destroy_digits(digits, "noise_images", 3).images == noise.images).all()


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A user's folder of images: two shapes in images of several sizes."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 10), ("test", 40)):
        for number in range(count):
            for name in ("bar", "dot"):
                image = np.full((40 + number % 7, 44, 3), 40, np.uint8)
                image += rng.integers(20, size=image.shape, dtype=np.uint8)
                image[:, 10:20] += np.uint8(150 * (name == "bar"))
                path = tmp_path / "shapes" / split / name / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path)
    return tmp_path / "shapes"


def test_a_users_images_have_controls_too(shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("imagefolder", "--protocol", "knn", "--backbone", "vit_pico", "--data-root", str(shapes))
    code, found = check_task(capsys, *words, "--set", "img_size=32")
    assert code == 0 and found["verdicts"] == {"knn": "ok"}, found
    assert found["runs"][0]["value"] == 50 and found["runs"][1]["value"] > 95
    data = IMAGE_TASKS["imagefolder"].load_data(shapes)
    shuffled = destroy_images(data, "shuffled_labels", 0)
    assert shuffled.splits["test"] == data.splits["test"]
    for split in ("train", "val"):
        assert sorted(shuffled.splits[split].labels) == sorted(data.splits[split].labels)
        assert shuffled.splits[split].labels != data.splits[split].labels
        assert shuffled.splits[split].indices == data.splits[split].indices
    assert len({each.fingerprint for each in (data, shuffled, destroy_images(data, "noise_images", 0))}) == 3


def test_noise_is_as_large_as_the_image(shapes: Path) -> None:
    files = ImageFiles(shapes, ["train/bar/0.png", "train/bar/1.png", "train/dot/0.png"])
    noise = NoiseImages(files, 0)
    assert [noise.load_image(index).size for index in range(3)] == [files.load_image(index).size for index in range(3)]
    first, other = np.asarray(noise.load_image(0)), np.asarray(noise.load_image(2))
    assert 120 < first.mean() < 135 and first.std() > 70 and (first != other).mean() > 0.9
    assert (np.asarray(NoiseImages(files, 0).load_image(0)) == first).all()


def test_scenes_lose_their_label_maps_or_their_images(tmp_path: Path) -> None:
    found = MINI_ADE.find_dataset(tmp_path)
    exchanged = exchange_label_files(found, 0)
    assert exchanged.splits["test"] == found.splits["test"]
    train, before = exchanged.splits["train"], found.splits["train"]
    assert [pair.image_path for pair in train] == [pair.image_path for pair in before]
    assert sorted(pair.label_path for pair in train) == sorted(pair.label_path for pair in before)
    assert sum(pair.label_path == old.label_path for pair, old in zip(train, before, strict=True)) < 5
    space, pair = found.label_space, before[0]
    image, labels = ControlReader("intact", 0)(pair, space)
    noise, same = ControlReader("noise_images", 0)(pair, space)
    assert noise.shape == image.shape and noise.std() > 70 and (same == labels).all()
    assert (noise != image).mean() > 0.9


def test_a_label_map_fits_an_image_of_another_size(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "image.png"), np.zeros((30, 50, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "label.png"), np.repeat(np.uint8([[1, 2]]), 20, 0).repeat(10, 1))
    pair = ImageLabelPair("image", tmp_path / "image.png", tmp_path / "label.png")
    image, labels = ControlReader("shuffled_labels", 0)(pair, ADE20K_LABEL_SPACE)
    assert image.shape[:2] == labels.shape == (30, 50)
    assert (labels[:, :25] == 0).all() and (labels[:, 25:] == 1).all()


def test_pairs_lose_their_boxes_or_their_pixels(tmp_path: Path) -> None:
    recipe = load_protocol_recipe("fast64", ["dataset_weights.photos=0", "dataset_weights.mini_lasot=1"])
    intact, exchanged, noise = (
        [PairDataset(ControlSamplers(kind, 0)(recipe, tmp_path), 40, seed=1)[index] for index in range(40)]
        for kind in ("intact", "shuffled_labels", "noise_images")
    )
    for before, after, static in zip(intact, exchanged, noise, strict=True):
        assert (before["search"] == after["search"]).all() and (before["template"] == after["template"]).all()
        assert not np.allclose(before["box"], after["box"]) and np.allclose(before["box"], static["box"])
        assert static["search"].shape == before["search"].shape and static["search"].std() > 70
    widths = [np.array([item["box"][2] for item in items]) for items in (intact, exchanged)]
    assert abs(np.corrcoef(*widths)[0, 1]) < 0.4 and abs(widths[0].mean() - widths[1].mean()) < 0.1


def test_frames_become_noise_and_boxes_stay(tmp_path: Path) -> None:
    videos = MINI_LASOT.read_test_videos(tmp_path)
    noise = replace_frames(videos, "noise_images", 0)
    assert replace_frames(videos, "shuffled_labels", 0) == videos
    frame = noise[0].read_frame(0)
    assert frame.shape == videos[0].read_frame(0).shape and frame.std() > 70
    assert (noise[0].boxes == videos[0].boxes).all() and (frame != noise[0].read_frame(1)).mean() > 0.9


class Captured(Exception):  # noqa: N818 - not an error: the training is known, and the run is stopped
    """Carries the training that a run would have done."""


def capture_job(monkeypatch: pytest.MonkeyPatch, module: Any, control: Task, protocol: str, out: Path) -> Any:
    """What the training of a control gets, without training."""

    def train_model(job: Any) -> Any:
        raise Captured(job)

    monkeypatch.setattr(module, "train_model", train_model)
    with pytest.raises(Captured) as caught:
        run_cell(CellRequest(control, "vit_nano", protocol=protocol, tier="smoke", out=out, device="cpu"))
    return caught.value.args[0]


def test_training_reads_what_a_control_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = MINI_ADE.find_dataset(tmp_path)
    for kind in KINDS[2:]:
        job = capture_job(monkeypatch, segmentation.run, MINI_ADE.make_control(kind, 1), "linear", tmp_path)
        for dataset in (job.train_dataset, job.test_dataset):
            assert dataset.read_pair == ControlReader(kind, 1)
        assert (job.train_dataset.pairs == found.splits["train"]) == (kind == "noise_images")
        assert job.test_dataset.pairs == found.splits["test"]


def test_training_draws_what_a_control_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, sampler in zip(KINDS[2:], (ExchangedBoxes, NoisePairs), strict=True):
        job = capture_job(monkeypatch, tracking.protocols, MINI_LASOT.make_control(kind, 1), "fast64", tmp_path)
        for dataset in (job.train_dataset, job.val_dataset):
            assert [type(source.sampler) for source in dataset.samplers] == [sampler]


# the answers without images


def test_the_most_frequent_class_answers_for_labeled_images(capsys: pytest.CaptureFixture[str]) -> None:
    _, found = check_task(capsys, "digits", "--protocol", "knn", "--backbone", "vit_pico")
    digits = digits_data.load_digits_data()
    train, test = (np.bincount(digits.labels[digits.splits[split]]) for split in ("train", "test"))
    assert found["runs"][0]["value"] == pytest.approx(100 * test[train == train.max()].max() / 359)


def test_the_best_of_three_masks_answers_for_scenes(tmp_path: Path) -> None:
    """Counted again with plain loops: the mean mask is the most frequent class at each place of the training scenes."""
    found = MINI_ADE.find_dataset(tmp_path)
    outcome = answer_best_mask(found, MINI_ADE.metrics, tmp_path)
    assert outcome.selection.chosen == "the mean mask" and outcome.selection.candidates == 3
    maps = {
        split: np.stack([read_label_map(pair.label_path, found.label_space) for pair in found.splits[split]])
        for split in ("train", "test")
    }
    mask = np.stack([(maps["train"] == label).sum(0) for label in range(150)]).argmax(0)
    ious = []
    for label in np.unique(maps["test"])[:-1]:
        guessed, real = (mask == label) & (maps["test"] != 255), maps["test"] == label
        ious.append(100 * (guessed & real).sum() / (guessed | real).sum())
    # the mask is counted on a grid of 64 x 64, the scenes have 96 x 128 pixels
    assert outcome.metrics["mIoU"].value == pytest.approx(np.mean(ious), abs=0.5)


def test_the_first_box_answers_for_sequences(tmp_path: Path) -> None:
    outcome = answer_first_box(MINI_LASOT.read_test_videos(tmp_path), ["AUC", "P"], tmp_path)
    assert outcome.metrics["AUC"].value == pytest.approx(9.12, abs=0.01)
