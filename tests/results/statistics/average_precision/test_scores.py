"""AP accumulated from matches: equal to pycocotools in all digits, over all images and over any of them."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detection.data.ground_truth import Annotations, Category, DetectionImage, DetectionSplit
from detection.scoring.coco_metric import score_split
from detection.scoring.detections import DetectionColumns
from foundation.array_types import IntArray
from results.statistics.average_precision.match_tables import (
    MATCH_DTYPE,
    MatchTable,
    join_match_tables,
    split_match_tables,
)
from results.statistics.average_precision.metric_names import COCO_METRIC_NAMES, SCORE_NAMES
from results.statistics.average_precision.sample import sample_from_precisions
from results.statistics.average_precision.scores import (
    SCORE_DEFINITIONS,
    compute_class_scores,
    compute_detection_score,
    compute_without_groups,
)
from results.statistics.estimates import compute_difference, compute_interval
from results.statistics.group_jackknife import assign_groups
from tests.results.statistics.average_precision.simulate import draw_images, measure_coverage, simulate_world

CATEGORIES = [Category(2, "a"), Category(5, "b"), Category(6, "c"), Category(90, "never there")]
_NOWHERE = Path("nowhere")


class Case:
    """Random objects and detections of some images; scores are few values, so that many are equal.

    Args:
        seed: of the random numbers.
        count: number of images.
    """

    def __init__(self, seed: int, count: int = 7) -> None:
        rng = np.random.default_rng(seed)
        self.objects = self._make_boxes(rng, count, 25)
        self.crowds = rng.random(len(self.objects)) < 0.15
        # detections are objects that have been moved, and some boxes of their own
        moved = self.objects[rng.random(len(self.objects)) < 0.8]
        moved = np.c_[moved[:, :2], moved[:, 2:] * rng.uniform(0.8, 1.25, (len(moved), 4))]
        self.detections = np.concatenate([moved, self._make_boxes(rng, count, 20)])
        self.scores = rng.integers(0, 12, len(self.detections)) / 12
        self.count = count

    @staticmethod
    def _make_boxes(rng: np.random.Generator, count: int, number: int) -> NDArray[np.float64]:
        # image, label, left, top, width, height: sizes of all three ranges; label 3 has neither
        sizes = np.exp(rng.uniform(2.5, 5.5, (number, 2)))
        columns = (
            rng.integers(count, size=number),
            rng.integers(3, size=number),
            rng.uniform(0, 60, (number, 2)),
            sizes,
        )
        return np.c_[columns]

    def draw(self, images: IntArray) -> tuple[DetectionSplit, DetectionColumns]:
        """Return the objects and detections of some images in this order; one that is named twice is there twice."""
        objects, detections, crowds, scores = [], [], [], []
        for place, image in enumerate(images.tolist()):
            for source, found in ((self.objects, objects), (self.detections, detections)):
                rows = source[source[:, 0] == image].copy()
                rows[:, 0] = place
                found.append(rows)
            crowds.append(self.crowds[self.objects[:, 0] == image])
            scores.append(self.scores[self.detections[:, 0] == image])
        truth, boxes = np.concatenate(objects), np.concatenate(detections)
        size = (400, 400)
        split = DetectionSplit(
            [DetectionImage(10 + 3 * place, f"{place}.png", _NOWHERE, *size) for place in range(len(images))],
            Annotations(
                truth[:, 0].astype(np.int64), np.arange(1, len(truth) + 1), truth[:, 1].astype(np.int64), truth[:, 2:],
                truth[:, 4] * truth[:, 5] * 0.8, np.concatenate(crowds), None,
            ),
        )  # fmt: skip
        columns = boxes[:, 0].astype(np.int64), boxes[:, 1].astype(np.int64)
        return split, DetectionColumns(*columns, np.concatenate(scores), boxes[:, 2:], None)


def ask_pycocotools(split: DetectionSplit, detections: DetectionColumns) -> dict[str, float]:
    """Return its twelve numbers from 0 to 1, called as its own demonstration does."""
    ids, rows = [image.id for image in split.images], split.annotations
    truth: dict[str, Any] = {
        "images": [{"id": each} for each in ids],
        "categories": [{"id": each.id} for each in CATEGORIES],
        "annotations": [
            {
                "id": place + 1,
                "image_id": ids[rows.images[place]],
                "category_id": CATEGORIES[rows.labels[place]].id,
                "bbox": rows.boxes[place].tolist(),
                "area": rows.areas[place],
                "iscrowd": int(rows.is_crowd[place]),
            }
            for place in range(len(rows))
        ],
    }
    assert detections.boxes is not None
    results = [
        {"image_id": ids[image], "category_id": CATEGORIES[label].id, "score": score, "bbox": box}
        for image, label, score, box in zip(
            detections.images, detections.labels, detections.scores.tolist(), detections.boxes.tolist(), strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        whole = COCO()
        whole.dataset = truth
        whole.createIndex()
        evaluator = COCOeval(whole, whole.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return dict(zip(SCORE_NAMES, evaluator.stats.tolist(), strict=True))


def score_all(table: MatchTable) -> dict[str, float]:
    """Return our twelve numbers on pycocotools' scale."""
    values = {name: compute_detection_score(table, name) for name in SCORE_NAMES}
    return {name: -1.0 if value is None else value / 100 for name, value in values.items()}


@pytest.mark.parametrize("seed", range(25))
def test_equal_to_pycocotools_over_all_images_and_over_drawn_ones(seed: int) -> None:
    """Dropped and repeated images: the matches of each image are those of the whole set, computed once."""
    case = Case(seed)
    split, detections = case.draw(np.arange(case.count))
    found = score_split(split, CATEGORIES, detections, "bbox")
    # divided by 100 and multiplied again, the last digit may move
    assert score_all(found.matches) == pytest.approx(ask_pycocotools(split, detections), abs=1e-15)
    drawn = np.random.default_rng(seed).integers(case.count, size=case.count + seed % 3)
    expected = ask_pycocotools(*case.draw(drawn))
    assert score_all(draw_images(found.matches, drawn)) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("seed", [3, 4])
def test_without_groups_is_the_number_of_the_others(seed: int) -> None:
    case = Case(seed, 9)
    matches = score_split(*_order(case), "bbox").matches
    groups = np.array([2, 0, 1, 1, 3, 0, 2, 2, 4])
    for name in SCORE_NAMES:
        expected = [
            compute_detection_score(draw_images(matches, np.flatnonzero(groups != each)), name) for each in range(5)
        ]
        found = compute_without_groups(matches, name, groups)
        assert found.tolist() == pytest.approx(expected, abs=1e-12), name


def _order(case: Case) -> tuple[DetectionSplit, list[Category], DetectionColumns]:
    split, detections = case.draw(np.arange(case.count))
    return split, CATEGORIES, detections


def test_the_order_of_images_does_not_matter_without_ties() -> None:
    case = Case(8)
    case.scores = np.random.default_rng(1).permutation(len(case.scores)) / len(case.scores)
    whole = score_all(score_split(*_order(case), "bbox").matches)
    split, detections = case.draw(np.arange(case.count)[::-1])
    assert score_all(score_split(split, CATEGORIES, detections, "bbox").matches) == pytest.approx(whole, abs=1e-12)


def test_ap_is_a_mean_over_the_classes_with_objects() -> None:
    found = score_split(*_order(Case(5)), "bbox")
    classes = compute_class_scores(found.matches, "AP")
    assert set(classes) == {0, 1, 2}
    assert np.mean(list(classes.values())) == pytest.approx(found.scores["AP"], abs=1e-12)


def test_a_file_of_matches_gives_the_table_back() -> None:
    matches = score_split(*_order(Case(6)), "bbox").matches
    rows = join_match_tables({"box": matches, "mask": matches})
    for kind, table in split_match_tables(rows, matches.num_images).items():
        assert kind in ("box", "mask")
        assert all(np.array_equal(one, other) for one, other in zip(table, matches, strict=True))


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("role", 4, "a role or a label"),
        ("label", -1, "a role or a label"),
        ("image", 7, "beyond the 7"),
        ("score", np.nan, "not a finite number"),
        ("score", -5.0, "not sorted"),
        ("found", 1 << 12, "a threshold that there is not"),
        ("found", 1023, "both right and wrong"),
        ("label", 2, "not sorted"),
    ],
)
def test_rows_that_no_run_writes_are_refused(field: str, value: float, text: str) -> None:
    rows = join_match_tables({"box": score_split(*_order(Case(6)), "bbox").matches})
    # two detections of one label in one image, the first wrong at all thresholds
    rows = np.concatenate([rows[:1], rows[:1], rows[1:]])
    rows["wrong"][0], rows["found"][0] = 1023, 0
    rows[field][0] = value
    with pytest.raises(ValueError, match=text):
        split_match_tables(rows, 7)
    with pytest.raises(ValueError, match="not rows of matches"):
        split_match_tables(np.zeros((2, 3)), 7)
    assert rows.dtype == MATCH_DTYPE


def test_the_names_are_those_that_are_defined() -> None:
    assert tuple(SCORE_DEFINITIONS) == SCORE_NAMES
    assert len(set(COCO_METRIC_NAMES)) == 24


def test_intervals_cover() -> None:
    """200 repetitions a case: 95 % is seen as 90.4 % or more in 998 of 1,000; the thorough run is in ``simulate``."""
    rng = np.random.default_rng(2)
    for classes, items in ((1, 200), (6, 60)):
        world = simulate_world(rng, classes, items, 0.5, 2_000)
        assert measure_coverage(world, 200, rng, "AP50")[0] >= 90, world.name


def test_a_paired_difference_is_narrower_than_two_rows() -> None:
    """Two detectors on the same images: one lacks a tenth of the matches of the other."""
    rng = np.random.default_rng(4)
    world = draw_images(simulate_world(rng, 4, 200, 0.5, 400).matches, np.arange(200))
    lost = rng.random(len(world.found)) < 0.1
    worse = world._replace(
        found=np.where(lost[:, None], 0, world.found).astype(np.uint16),
        wrong=np.where(lost[:, None], world.found | world.wrong, world.wrong).astype(np.uint16),
    )
    names = [str(each) for each in range(200)]
    groups, samples = assign_groups(names), []
    for table in (world, worse):
        value = np.array([compute_detection_score(table, "AP50")], np.float64)
        samples.append(sample_from_precisions(value, compute_without_groups(table, "AP50", groups)[None], names))
    apart, alone = compute_difference(*samples), compute_interval(samples[0])
    assert apart.p_value < 0.01 and apart.low > 0
    assert apart.high - apart.low < 0.7 * (alone.high - alone.low)
