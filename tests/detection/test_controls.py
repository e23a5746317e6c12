"""Negative controls: what is exchanged, what becomes noise, and the answer that needs no image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from detection.controls import answer_mean_objects, exchange_objects, make_noise_reader, resize_mask
from detection.data.ground_truth import DetectionDataset
from detection.data.item_limits import limit_dataset, take_images
from detection.data.read_image import read_rgb_image
from detection.tasks import COCO, MINI_COCO
from results.statistics.average_precision.scores import compute_detection_score
from tests.detection.make import write_small_coco


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DetectionDataset:
    root = tmp_path_factory.mktemp("coco")
    write_small_coco(root, 8)
    return COCO.find_dataset(root)


def test_objects_move_between_images_and_the_test_stays(dataset: DetectionDataset) -> None:
    changed = exchange_objects(dataset, 1)
    assert changed.splits["test"] is dataset.splits["test"]
    before, after = dataset.splits["train"].annotations, changed.splits["train"].annotations
    assert changed.splits["train"].images == dataset.splits["train"].images
    assert sorted(after.ids.tolist()) == sorted(before.ids.tolist()), "each object once"
    assert (np.diff(after.images) >= 0).all()
    place = {each: row for row, each in enumerate(before.ids.tolist())}
    rows = [place[each] for each in after.ids.tolist()]
    # all images have one size, so boxes and masks are those of the same object
    assert (after.boxes == before.boxes[rows]).all() and (after.labels == before.labels[rows]).all()
    assert after.masks is not None and before.masks is not None
    assert all((after.masks[k][0] == before.masks[row][0]).all() for k, row in enumerate(rows))
    moved = np.mean(after.images != before.images[rows])
    assert moved > 0.5, "most objects have another image"
    groups = {tuple(after.ids[after.find_rows(image)].tolist()) for image in range(8)}
    assert groups == {tuple(before.ids[before.find_rows(image)].tolist()) for image in range(8)}, "images as a whole"


def test_a_mask_is_stretched_with_its_image() -> None:
    outline = np.array([[2.0, 4], [10, 4], [10, 12], [2, 12]])
    (moved,) = resize_mask([outline], (20, 40), (40, 60))
    assert moved.tolist() == [[3, 8], [15, 8], [15, 24], [3, 24]], "1.5 times in x, twice in y"
    pixels = np.zeros((20, 40), np.uint8)
    pixels[4:12, 2:10] = 1
    packed = resize_mask(coco_mask.encode(np.asfortranarray(pixels)), (20, 40), (40, 60))
    found = coco_mask.decode(packed)
    assert found.shape == (40, 60) and found.sum() == 16 * 12 and found[8:24, 3:15].all()
    assert resize_mask([outline], (20, 40), (20, 40))[0] is outline


def test_images_become_noise_of_their_size(dataset: DetectionDataset) -> None:
    entry, other = dataset.splits["train"].images[:2]
    image, noise = read_rgb_image(entry), make_noise_reader(0)(entry)
    assert noise.size == image.size and np.asarray(noise).std() > 70
    assert (np.asarray(noise) == np.asarray(make_noise_reader(0)(entry))).all(), "the same in every epoch"
    assert (np.asarray(noise) != np.asarray(make_noise_reader(0)(other))).mean() > 0.9
    assert (np.asarray(noise) != np.asarray(make_noise_reader(1)(entry))).mean() > 0.9


def test_the_answer_without_images_is_scored_as_a_run(dataset: DetectionDataset, tmp_path: Path) -> None:
    outcome = answer_mean_objects(dataset, COCO, tmp_path)
    assert outcome.selection.candidates == 2 and outcome.parameters == 0
    assert len(outcome.item_rows) == 8
    assert {"matches.npy", "detections.json"} <= {path.name for path in tmp_path.iterdir()}
    assert 0 <= outcome.metrics["box_AP"].value < 50
    # the truth as an answer would be perfect, so the scoring itself is right
    from detection import controls

    split = dataset.splits["test"]
    truth = controls._score_guess(dataset, lambda item: controls._list_objects(split, item))
    assert truth.scores["box_AP"] == pytest.approx(100)
    assert compute_detection_score(truth.match_tables["box"], "AP") == pytest.approx(100)
    # the objects are rectangles, whose masks are their boxes
    assert truth.scores["mask_AP"] == pytest.approx(100)


def test_a_limit_keeps_images_with_their_own_objects(dataset: DetectionDataset) -> None:
    assert limit_dataset(dataset, None).splits["train"] is dataset.splits["train"]
    limited = limit_dataset(dataset, 3).splits["train"]
    whole = dataset.splits["train"]
    assert [image.id for image in limited.images] == [whole.images[place].id for place in (0, 2, 5)]
    for new, old in enumerate((0, 2, 5)):
        ours, theirs = limited.annotations, whole.annotations
        assert ours.ids[ours.find_rows(new)].tolist() == theirs.ids[theirs.find_rows(old)].tolist()
    assert len(take_images(whole, [])) == 0


def test_the_variants_have_other_names_and_fingerprints(tmp_path: Path) -> None:
    found = MINI_COCO.check_data(tmp_path)
    for kind in ("intact", "labels_only", "shuffled_labels", "noise_images"):
        variant = MINI_COCO.make_control(kind, 0)  # type: ignore[arg-type]
        assert variant.name == f"mini_coco-{kind}-0" and variant.metrics == MINI_COCO.metrics[:1]
        assert variant.check_data(tmp_path).fingerprint != found.fingerprint
