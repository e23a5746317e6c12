from __future__ import annotations

from typing import Any

import pytest

from results.published.match import explain_mismatch, find_unmatched_published, match_published
from results.published.rows import PublishedResult, read_published
from results.records.record import Record
from tests.results.make import make_record

METRICS = {"box_AP": 42.3, "mask_AP": 37.2}
SETTINGS = {"epochs": 300, "batch_size": 1024, "img_size": 224, "optimizer": {"lr": 4e-3, "layer_decay": 0.85}}


def ours(value: float = 77.8, recipe: dict[str, Any] | None = None, **changes: Any) -> Record:
    """MAE-Tiny fine-tuned on ImageNet as the paper's improved recipe has it."""
    backbone = {"name": "mae_tiny", "init": "card"} | changes.pop("backbone", {})
    same = {"task": "imagenet", "protocol": "finetune_improved", "config": {"recipe": SETTINGS | (recipe or {})}}
    return make_record(value, backbone=backbone, **(same | changes))


def headline() -> PublishedResult:
    (row,) = [
        r for r in read_published() if r.source == "mae_lite_icml" and r.backbone == "mae_tiny" and r.task == "imagenet"
    ]
    return row


def test_the_very_same_cell_stands_beside_with_its_difference() -> None:
    beside = match_published(read_published(), ours(), 77.8)
    assert beside is not None
    assert beside.published == headline()
    assert beside.difference == pytest.approx(-0.2)
    assert beside.is_within_tolerance
    outside = match_published(read_published(), ours(), 77.6)
    assert outside is not None
    assert not outside.is_within_tolerance


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"task": "cifar100"}, "no run of ours on imagenet"),
        ({"protocol": "finetune"}, "use another protocol"),
        ({"backbone": {"name": "vit_tiny"}}, "no run of mae_tiny with protocol finetune_improved"),
        ({"tier": "short"}, "has tier short, not the full schedule"),
        ({"backbone": {"init": "random"}}, "our run starts from random weights, theirs from MAE, 400 epochs"),
        ({"backbone": {"init": "checkpoint"}}, "our run starts from a weight file given with --checkpoint"),
        ({"backbone": {"allow_partial": True}}, "our run starts from part of its weights"),
        ({"recipe": {"epochs": 100}}, "epochs is 300 in the source and 100 in our run"),
        ({"recipe": {"optimizer": {"lr": 4e-3}}}, "optimizer.layer_decay is 0.85 in the source and None in our run"),
        ({"config": {"recipe": SETTINGS, "data_scale": 0.1}}, "on a part of the data"),
        (
            {"data": make_record().data.model_copy(update={"deviations": ["a cut"]}).model_dump()},
            "not the official set",
        ),
    ],
)
def test_whatever_differs_keeps_it_apart_and_is_named(changes: dict[str, Any], why: str) -> None:
    run = ours(**changes)
    reason = explain_mismatch(headline(), run)
    assert reason is not None
    assert why in reason
    assert match_published([headline()], run, 77.8) is None
    (context,) = find_unmatched_published([headline()], {"board": [run]})
    assert context.reason == ("no run of ours" if changes.get("task") else reason)


def test_a_distilled_run_stands_beside_the_row_of_its_length_and_teacher() -> None:
    teacher = {"teacher": "timm/regnety_160.deit_in1k", "distill": {"kind": "hard", "alpha": 0.5, "class_token": True}}
    for epochs, value in ((300, 76.9), (1000, 78.4)):
        same: dict[str, Any] = {"protocol": "finetune_distill", "recipe": {**teacher, "epochs": epochs}}
        beside = match_published(read_published(), ours(**same), 77.0)
        assert beside is not None and beside.published.value == value
        other = {**same, "recipe": {**same["recipe"], "teacher": "timm/regnety_040"}}
        assert match_published(read_published(), ours(**other), 77.0) is None
        of_a_file = ours(**same, non_identity_settings={"teacher_checkpoint": "/home/a.pth"})
        assert match_published(read_published(), of_a_file, 77.0) is None
        assert "the weights of a file" in str(explain_mismatch(beside.published, of_a_file))


def test_a_second_metric_of_a_comparable_run_is_said_and_not_taken_for_the_first() -> None:
    rows = [row for row in read_published() if row.task == "coco" and row.backbone == "mae_d2_tiny"]
    (settings,) = {tuple(sorted(row.settings.items())) for row in rows}
    recipe: dict[str, Any] = {"optimizer": {}}
    for name, value in settings:
        (recipe["optimizer"] if "." in name else recipe)[name.rpartition(".")[2]] = value
    run = ours(42.3, task="coco", protocol="vitdet", backbone={"name": "mae_d2_tiny"}, config={"recipe": recipe})
    assert run.result is not None
    metrics = {name: run.result.metrics["top1"].model_copy(update={"value": v}) for name, v in METRICS.items()}
    run = run.model_copy(
        update={"result": run.result.model_copy(update={"metrics": metrics, "primary_metric": "box_AP"})}
    )
    beside = match_published(rows, run, 42.3)
    assert beside is not None and (beside.published.metric, beside.published.value) == ("box_AP", 42.5)
    (context,) = find_unmatched_published(rows, {"board": [run]})
    assert context.published.metric == "mask_AP"
    assert context.reason == "the board compares box_AP; our run has 37.2"


def test_the_nearest_run_gives_the_reason() -> None:
    far, near = ours(protocol="finetune"), ours(recipe={"epochs": 100})
    (context,) = find_unmatched_published([headline()], {1: [far], 2: [near]})
    assert context.reason == "epochs is 300 in the source and 100 in our run"
    assert find_unmatched_published([headline()], {1: [far], 2: [ours()]}) == ()


@pytest.mark.parametrize(
    ("find", "why"),
    [
        (lambda r: r.external, "bench does not have this backbone"),
        (lambda r: r.superseded_by, "corrected by mae_lite_i"),
        (lambda r: r.init == "other", "starts from weights that no backbone card has"),
        (
            lambda r: not (r.protocol or r.external or r.superseded_by),
            "bench has no protocol with this head and schedule",
        ),
    ],
)
def test_what_stands_beside_no_run_whatever(find: Any, why: str) -> None:
    rows = [row for row in read_published() if find(row)]
    assert rows
    for context in find_unmatched_published(rows, {}):
        assert why in context.reason
