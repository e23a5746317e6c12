"""Areas and scores against hand-computed cases, mmseg, scikit-learn, and a real prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix

from foundation.errors import BenchError, DataError, IncompleteError
from segmentation.data.dataset_layout import ADE20K_LABEL_SPACE
from segmentation.data.labels import LabelSpace
from segmentation.evaluation import ImagePrediction, SegmentationMetric, compare_with_mmseg, count_areas_twice
from segmentation.metrics import compute_segmentation_scores, count_class_areas, require_complete_items, score_image


def random_pair(seed: int, classes: int = 7, shape: tuple[int, int] = (40, 50)) -> tuple[torch.Tensor, torch.Tensor]:
    draw = np.random.default_rng(seed)
    truth = draw.integers(0, classes - 1, shape)  # the last class is never true
    found = np.where(draw.random(shape) < 0.6, truth, draw.integers(0, classes, shape))
    truth[draw.random(shape) < 0.1] = 255
    return torch.from_numpy(found), torch.from_numpy(truth)


def test_by_hand() -> None:
    found = np.array([[0, 0, 1], [1, 2, 2]])
    truth = np.array([[0, 1, 1], [1, 255, 3]])
    counted = count_class_areas(found, truth, 5)
    assert counted.tolist() == [[1, 2, 0, 0, 0], [2, 2, 1, 0, 0], [1, 3, 0, 1, 0]]
    total = compute_segmentation_scores(counted)
    # class 0: 1/2, class 1: 2/3, class 2: 0/1 (only predicted), class 3: 0/1 (missed), class 4 absent
    assert total.num_present == 4
    assert total.mIoU == pytest.approx(100 * (1 / 2 + 2 / 3) / 4)
    assert total.mIoU_all == pytest.approx(100 * (1 / 2 + 2 / 3) / 5)
    assert total.aAcc == pytest.approx(100 * 3 / 5)
    assert total.mAcc == pytest.approx(100 * (1 + 2 / 3 + 0) / 3)
    assert np.isnan(total.IoU[4])


@pytest.mark.parametrize("seed", range(3))
def test_equals_mmseg_and_scikit_learn(seed: int) -> None:
    found, truth = random_pair(seed)
    ours, theirs = count_areas_twice(found, truth, 7)
    check = compare_with_mmseg(ours, theirs)
    total = compute_segmentation_scores(ours)
    assert check["mIoU"] == pytest.approx(total.mIoU, abs=1e-4)
    assert float(check["largest_difference"]) < 1e-4
    counts = truth != 255
    matrix = confusion_matrix(truth[counts], found[counts], labels=range(7))
    hit, union = np.diag(matrix), matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    assert total.IoU == pytest.approx(100 * hit / union, abs=1e-9)
    assert total.aAcc == pytest.approx(100 * hit.sum() / matrix.sum(), abs=1e-9)


def test_disagreement_with_mmseg_gives_no_number() -> None:
    ours, theirs = count_areas_twice(*random_pair(0), 7)
    with pytest.raises(BenchError, match="do not agree"):
        compare_with_mmseg(ours, theirs + np.eye(4, 7, dtype=np.float32) * 50)


def test_what_cannot_be_counted() -> None:
    square = np.zeros((2, 2), int)
    with pytest.raises(DataError, match="cannot be scored"):
        count_class_areas(square, np.zeros((2, 3), int), 2)
    with pytest.raises(DataError, match="prediction has class 2"):
        count_class_areas(square + 2, square, 2)
    with pytest.raises(DataError, match="no labeled pixel"):
        compute_segmentation_scores(np.zeros((3, 2), np.int64))
    assert score_image(0, "empty", np.zeros((3, 2), np.int64)).mIoU is None


def test_sums_are_exact_where_float32_is_not() -> None:
    counted = np.zeros((3, 2), np.int64) + (1 << 24)
    assert (sum([counted] * 3) + 1)[0, 0] == 3 * (1 << 24) + 1


@pytest.mark.parametrize(
    ("items", "message"),
    [([0, 1], "c was scored 0"), ([0, 1, 1, 2], "b was scored 2"), ([0, 1, 2, 3], "4 outcomes for 3")],
)
def test_no_number_unless_each_image_was_scored_once(items: list[int], message: str) -> None:
    with pytest.raises(IncompleteError, match=message):
        require_complete_items(items, ["a", "b", "c"])


def test_the_metric_demands_every_image() -> None:
    metric = SegmentationMetric(["a", "b"], LabelSpace(7, 0, (255,)))
    metric.process(None, [ImagePrediction(0, *random_pair(0))])
    with pytest.raises(IncompleteError, match="b was scored 0 times"):
        metric.compute_metrics(metric.results)
    metric.process(None, [ImagePrediction(1, *random_pair(1))])
    values = metric.compute_metrics(metric.results)
    total = compute_segmentation_scores(
        count_class_areas(*(t.numpy() for t in random_pair(0)), 7)
        + count_class_areas(*(t.numpy() for t in random_pair(1)), 7)
    )
    assert values["mIoU"] == total.mIoU
    assert metric.image_areas.shape == (2, 3, 7)
    assert [each.name for each in metric.image_scores] == ["a", "b"]


def test_a_real_prediction_of_ade20k(shared_data: Path) -> None:
    """Reference values computed by three programs: see the shared data's notes."""
    from segmentation.data.files import read_label_map, read_raw_labels

    folder = shared_data / "ade20k" / "ADEChallengeData2016"
    truth = read_label_map(folder / "annotations" / "validation" / "ADE_val_00000278.png", ADE20K_LABEL_SPACE)
    found = read_raw_labels(folder / "predictions" / "validation" / "ADE_val_00000278.png") - 1
    ours, theirs = count_areas_twice(torch.from_numpy(found), torch.from_numpy(truth), 150)
    total, check = compute_segmentation_scores(ours), compare_with_mmseg(ours, theirs)
    assert (round(total.mIoU, 2), round(total.mIoU_all, 2), round(total.aAcc, 2)) == (50.49, 4.04, 86.70)
    assert total.num_present == 12
    assert float(check["largest_difference"]) < 1e-4
    counts = truth != 255
    matrix = confusion_matrix(truth[counts], found[counts], labels=range(150))
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    assert total.mIoU == pytest.approx(100 * (np.diag(matrix)[union > 0] / union[union > 0]).mean(), abs=1e-9)
