"""What looks right and is wrong: each mistake is made on purpose, and is refused or warned of; what is right is not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detection.data.annotation_file import read_annotations
from detection.data.ground_truth import Annotations, Category, DetectionImage, DetectionSplit
from detection.scoring.detections import DetectionColumns
from detection.scoring.doubts import list_doubts, list_warnings
from detection.scoring.results_file import read_results
from foundation.errors import DataError
from tests.detection.scoring.make import make_detection, make_truth, write_json

NAMES = ("zebra", "cow", "dog", "ant")
CATEGORIES = [Category(number, name) for number, name in enumerate(NAMES, start=1)]
IMAGES = 40


def make_split() -> DetectionSplit:
    """40 images with four objects each, one of each category, on a grid with a random offset."""
    draw = np.random.default_rng(0)
    images = [DetectionImage(i + 1, f"{i}.png", Path(f"{i}.png"), 200, 300) for i in range(IMAGES)]
    corners = np.tile([[10.0, 10], [150, 10], [10, 100], [150, 100]], (IMAGES, 1)) + draw.uniform(
        0, 20, (4 * IMAGES, 2)
    )
    boxes = np.c_[corners, draw.uniform(30, 70, (4 * IMAGES, 2))]
    places, labels = np.repeat(np.arange(IMAGES), 4), np.tile(np.arange(4), IMAGES)
    crowd = np.zeros(4 * IMAGES, np.bool_)
    return DetectionSplit(
        images, Annotations(places, np.arange(1, 4 * IMAGES + 1), labels, boxes, boxes[:, 2:].prod(1), crowd, None)
    )


SPLIT = make_split()


def make_detections() -> DetectionColumns:
    """A good detector: each object with a jitter of 2 px and a high score, and noise with a low one."""
    draw, found = np.random.default_rng(1), SPLIT.annotations
    near = found.boxes + draw.normal(0, 2, found.boxes.shape)
    noise = np.c_[draw.uniform(0, 130, (len(near), 2)), draw.uniform(5, 60, (len(near), 2))]
    return DetectionColumns(
        np.tile(found.images, 2),
        np.tile(found.labels, 2),
        np.r_[draw.uniform(0.5, 1, len(near)), draw.uniform(0.01, 0.3, len(near))],
        np.r_[near, noise],
        None,
    )


RIGHT = make_detections()


def take(kept: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> DetectionColumns:
    boxes = RIGHT.boxes
    assert boxes is not None
    return DetectionColumns(RIGHT.images[kept], RIGHT.labels[kept], RIGHT.scores[kept], boxes[kept], None)


def say(detections: DetectionColumns) -> str:
    return "\n".join([*list_doubts(SPLIT, CATEGORIES, detections), *list_warnings(SPLIT, detections)])


def test_a_good_detector_is_not_suspected() -> None:
    assert say(RIGHT) == ""


@pytest.mark.parametrize("order", [[3, 1, 2, 0], [1, 0, 2, 3], [1, 2, 3, 0]])
def test_exchanged_categories_are_refused(order: list[int]) -> None:
    """In the order of names (ant, cow, dog, zebra), two exchanged, and all moved by one."""
    moved = replace(RIGHT, labels=np.array(order)[RIGHT.labels])
    doubts = list(list_doubts(SPLIT, CATEGORIES, moved))
    share = 100 * np.mean(np.array(order) == np.arange(4))
    if share < 45:
        assert len(doubts) == 1 and "the categories look exchanged" in doubts[0] and "order" in doubts[0]
    # half of the categories are right: seen in AP, and not surely a mistake
    assert bool(doubts) == (share < 45)


def test_a_detector_without_categories_is_warned_of_and_not_refused() -> None:
    one = replace(RIGHT, labels=np.full_like(RIGHT.labels, 2))
    assert not list(list_doubts(SPLIT, CATEGORIES, one))
    confused = replace(RIGHT, labels=np.where(RIGHT.labels == 3, 2, 3))
    assert "have its category: are the category ids right?" in say(confused)


def test_scores_that_say_nothing() -> None:
    assert "have the score 1: AP then depends on their order" in say(replace(RIGHT, scores=np.ones(len(RIGHT))))
    assert "no score is below 0.5" in say(take(RIGHT.scores > 0.5))
    assert "the score must rise with the confidence" in say(replace(RIGHT, scores=1 - RIGHT.scores))


def test_boxes_that_were_rounded_or_copied() -> None:
    boxes = RIGHT.boxes
    assert boxes is not None
    assert "all boxes are whole numbers" in say(replace(RIGHT, boxes=np.floor(boxes)))
    truth = SPLIT.annotations.boxes
    assert "is this the ground truth?" in say(replace(take(np.arange(len(RIGHT)) < len(truth)), boxes=truth))
    double = DetectionColumns(
        *(np.tile(each, 2) for each in (RIGHT.images, RIGHT.labels)),
        np.r_[RIGHT.scores, 0.99 * RIGHT.scores],
        np.r_[boxes, boxes + np.array([0.1, 0, 0, 0])],
        None,
    )
    assert "320 of the 640 best detections lie on a better one of their category" in say(double)


def test_images_that_were_not_searched() -> None:
    """Nine in a hundred are below the tenth from which on their number alone is warned of."""
    assert "the 8 last images with objects" in say(take(RIGHT.images < 32))
    assert "the 8 first images with objects" in say(take(RIGHT.images >= 8))
    few = say(take(~np.isin(RIGHT.images, [5, 17, 30])))
    assert few == "", "three images without detections, which happens"


@pytest.mark.parametrize(
    ("field", "write", "text"),
    [
        ("image_id", {5: "5", 9: "9"}, r"'5' \(a text, as all 2 are, and all are whole numbers: convert them with int"),
        ("image_id", {5: "000005", 9: "000009"}, "all are whole numbers"),
        ("image_id", {5: "a.png", 9: "b.png"}, "a text: a name of which the number is 5"),
        ("image_id", {5: "a", 9: "b"}, "a text: a name of which the number is 5"),
        ("category_id", {5: "cat", 9: "dog"}, "a text: a name of which the number is 3"),
        ("image_id", {5: "zz", 9: "9"}, r"'zz' \(a text\); write the number"),
    ],
)
def test_texts_in_place_of_ids_are_explained(tmp_path: Path, field: str, write: dict[int, str], text: str) -> None:
    truth = read_annotations(write_json(tmp_path / "truth.json", make_truth()), tmp_path, needs_images=False)
    rows = [{**make_detection(image, 3, [0, 0, 9, 9], 0.5), field: write[image]} for image in (5, 9)]
    with pytest.raises(DataError, match=text):
        read_results(write_json(tmp_path / "found.json", rows), truth.split, truth.categories)


def test_ids_of_the_truth_that_are_texts_or_fractions(tmp_path: Path) -> None:
    for value, kind in ((5.0, "fraction"), ("5", "text")):
        content = json.loads(json.dumps(make_truth()))
        content["images"][0]["id"] = value
        with pytest.raises(DataError, match=f"a whole number written as a {kind}: convert all ids with int"):
            read_annotations(write_json(tmp_path / "truth.json", content), tmp_path, needs_images=False)


@pytest.mark.parametrize(("factor", "is_wrong"), [(0.0, True), (0.001, True), (0.6, False), (1.0, False), (100, True)])
def test_areas_that_are_not_pixels_are_noted(tmp_path: Path, factor: float, is_wrong: bool) -> None:
    content = make_truth()
    content["annotations"] += [{**content["annotations"][0], "id": 10 + n, "image_id": 12} for n in range(4)]
    for each in content["annotations"]:
        each["area"] *= factor
    found = read_annotations(write_json(tmp_path / "truth.json", content), tmp_path, needs_images=False)
    assert any("cannot be their square pixels" in note for note in found.notes) == is_wrong
