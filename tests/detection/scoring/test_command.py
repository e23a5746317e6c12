"""``bench score`` of detections: official numbers, and everything that would give a wrong one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import litevit_bench as bench
from benchmarks.cli.main import main
from benchmarks.score_results import score_results
from foundation.errors import DataError, UserError
from results.score_request import ScoreRequest
from results.statistics.average_precision.metric_names import SCORE_NAMES
from tests.detection.scoring.make import make_detection, make_outline, make_run_lengths, make_truth, write_json

# printed by the tests of faster-coco-eval for the official pair, see the facts of the data
OFFICIAL = {
    "bbox": "0.5045806987 0.6969727247 0.5729816670 0.5856257209 0.5193996948 0.5013978986 "
    "0.3868127796 0.5936795763 0.5953529829 0.6398109626 0.5664205979 0.5642905983",
    "segm": "0.3195452759 0.5622883973 0.2989265341 0.3873740316 0.3101827240 0.3269339071 "
    "0.2682297226 0.4154486811 0.4168394992 0.4694498623 0.3767592267 0.3814715100",
    "sampled": "0.503647 0.696973 0.571667 0.593252 0.557991 0.489363 "
    "0.386813 0.593680 0.595353 0.654764 0.603130 0.553744",
}

Rows = list[dict[str, Any]]


class Pair:
    """A ground truth and detections that a test changes before they are scored."""

    def __init__(self, folder: Path, truth: dict[str, Any], results: Any) -> None:
        self.folder, self.truth, self.results = folder, truth, results

    def score(self, *, partial: bool = False) -> dict[str, Any]:
        """Write both files and score them."""
        truth = write_json(self.folder / "truth.json", self.truth)
        results = write_json(self.folder / "results.json", self.results)
        request = ScoreRequest("cocofolder", (results,), annotations=truth, partial=partial)
        return score_results(request).data

    def refuse(self) -> str:
        """Return the sentence with which the pair is refused."""
        with pytest.raises(DataError) as caught:
            self.score()
        return str(caught.value)


@pytest.fixture
def official(shared_data: Path, tmp_path: Path) -> Callable[[str], Pair]:
    """The official pair, with boxes or with masks."""
    folder = shared_data / "coco_results" / "val2014_100"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")

    def load(kind: str) -> Pair:
        results = json.loads((folder / f"instances_val2014_fake{kind}100_results.json").read_text())
        return Pair(tmp_path, json.loads((folder / "instances_val2014_100.json").read_text()), results)

    return load


@pytest.fixture
def small(tmp_path: Path) -> Pair:
    """Three images with five objects; four detections with boxes and masks."""
    rows = [
        make_detection(5, 3, [0, 0, 10, 10], 0.9, segmentation=make_run_lengths(0, 0)),
        make_detection(5, 3, [20, 5, 10, 10], 0.8, segmentation=make_run_lengths(20, 5)),
        make_detection(9, 3, [0, 0, 10, 10], 0.7, segmentation=make_run_lengths(0, 0)),
        make_detection(9, 7, [20, 20, 10, 10], 0.6, segmentation=make_run_lengths(20, 20)),
    ]
    return Pair(tmp_path, make_truth(), rows)


def list_values(data: dict[str, Any], kind: str) -> list[float]:
    return [data["metrics"][f"{kind}_{name}"] for name in SCORE_NAMES]


@pytest.mark.parametrize(("kind", "prefix"), [("bbox", "box"), ("segm", "mask")])
def test_the_official_pair(official: Callable[[str], Pair], kind: str, prefix: str) -> None:
    """All 24 numbers to ten digits, by two implementations and by our accumulation."""
    data = official(kind).score()
    assert list_values(data, prefix) == pytest.approx([100 * float(each) for each in OFFICIAL[kind].split()], abs=5e-9)
    assert data["second_implementation"][prefix]["largest_difference"] < 1e-10
    assert set(data["metrics"]) == {f"{prefix}_{name}" for name in SCORE_NAMES}
    assert (data["images"], data["images_without_detections"], data["detections"]) == (100, 1, 734)
    assert (data["classes"], data["classes_with_objects"], data["partial"]) == (80, 70, False)
    assert data["warnings"] == []
    low, high = data["intervals"][f"{prefix}_AP"]
    assert low < data["metrics"][f"{prefix}_AP"] < high


def test_box_areas_and_no_crowd(shared_data: Path, tmp_path: Path) -> None:
    """The same detections as a list and in an object; an evaluator that computes areas of its own fails one pair."""
    folder = shared_data / "coco_results" / "sampled_bboxarea"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    for name in ("sampled_bbox_results.json", "sampled_bbox_results.list.json"):
        data = bench.score("cocofolder", folder / name, annotations=folder / "sampled_gts_bbox_area.json")
        values = [float(each) for each in OFFICIAL["sampled"].split()]
        assert [each / 100 for each in list_values(data, "box")] == pytest.approx(values, abs=5.1e-7)


def test_corners_are_refused_and_give_the_stated_number_if_they_must(official: Callable[[str], Pair]) -> None:
    pair = official("bbox")
    for row in pair.results:
        left, top, width, height = row["bbox"]
        row["bbox"] = [left, top, left + width, top + height]
    assert "the best boxes look like corners (left, top, right, bottom)" in pair.refuse()
    data = pair.score(partial=True)
    assert data["partial"] is True and "look like corners" in data["warnings"][0]
    assert data["metrics"]["box_AP"] == pytest.approx(3.21, abs=0.005)


@pytest.mark.parametrize(("kind", "side"), [("longer side", 640), ("longer side", 320), ("square", 512)])
def test_boxes_that_were_not_scaled_back_are_refused(official: Callable[[str], Pair], kind: str, side: int) -> None:
    """Smaller images lie within the original ones; at 640 px, the longer side of most images of COCO stays."""
    pair = official("bbox")
    sizes = {each["id"]: (each["width"], each["height"]) for each in pair.truth["images"]}
    for row in pair.results:
        size = sizes[row["image_id"]]
        factors = [side / max(size)] * 2 if kind == "longer side" else [side / each for each in size]
        row["bbox"] = [value * factor for value, factor in zip(row["bbox"], factors * 2, strict=True)]
    assert f"resized to a {kind} of {side} px" in pair.refuse()


def test_masks_beside_the_objects_are_warned_of(official: Callable[[str], Pair]) -> None:
    """Run lengths that were counted row by row have the right size, and gave a mask AP of 0.1 without a word."""
    pair = official("segm")
    for row in pair.results:
        height, width = row["segmentation"]["size"]
        pixels = coco_mask.decode(row["segmentation"]).ravel(order="C").reshape((height, width), order="F")
        packed = coco_mask.encode(np.asfortranarray(pixels))
        row["segmentation"] = {"size": [height, width], "counts": packed["counts"].decode()}
    assert any("hardly lie on objects of their category" in warning for warning in pair.score()["warnings"])


def test_bad_boxes_are_no_boxes_of_resized_images(official: Callable[[str], Pair]) -> None:
    pair = official("bbox")
    for row in pair.results:  # half as large, around the same center
        left, top, width, height = row["bbox"]
        row["bbox"] = [left + width / 4, top + height / 4, width / 2, height / 2]
    data = pair.score()
    assert not data["partial"] and data["metrics"]["box_AP"] < 1


@pytest.mark.parametrize("start", [0, 1])
def test_categories_counted_in_their_order_are_refused(official: Callable[[str], Pair], start: int) -> None:
    pair = official("bbox")
    ids = sorted(each["id"] for each in pair.truth["categories"])
    for row in pair.results:
        row["category_id"] = start + ids.index(row["category_id"])
    assert f"numbers of the categories in their order, counted from {start}" in pair.refuse()
    # without the detections that show it, the others still lie where objects of another category are
    pair.results = [row for row in pair.results if row["category_id"] in ids]
    assert f"if the category_id is the number of the category in their order, counted from {start}" in pair.refuse()
    if start == 1:
        assert pair.score(partial=True)["metrics"]["box_AP"] == pytest.approx(6.87, abs=0.005)


def test_a_box_left_in_mask_results_does_not_give_the_area(official: Callable[[str], Pair]) -> None:
    """pycocotools alone gives 40.9, 32.5 and 30.9 by size."""
    pair = official("segm")
    for row in pair.results:
        row["bbox"] = [float(each) for each in coco_mask.toBbox(row["segmentation"])]
    data = pair.score()
    assert list_values(data, "mask") == pytest.approx(
        [100 * float(each) for each in OFFICIAL["segm"].split()], abs=5e-9
    )
    assert "mask AP by size goes by the area of the masks" in data["warnings"][0]
    assert data["metrics"]["box_AP"] is not None


def test_a_part_of_the_images_is_said(official: Callable[[str], Pair]) -> None:
    pair = official("bbox")
    part = {row["image_id"] for row in pair.results[:300]}
    pair.results = [row for row in pair.results if row["image_id"] in part]
    data = pair.score()
    assert data["images_without_detections"] == 100 - len(part)
    assert "images with objects have no detections" in data["warnings"][0]
    assert data["metrics"]["box_AP"] < 50


@pytest.mark.parametrize(
    ("change", "expected"), [("crowd removed", 50.36), ("crowd as one object", 50.23), ("wider by one", 46.96)]
)
def test_what_nobody_can_see_gives_the_stated_number(
    official: Callable[[str], Pair], change: str, expected: float
) -> None:
    pair = official("bbox")
    if change == "crowd removed":
        pair.truth["annotations"] = [row for row in pair.truth["annotations"] if not row["iscrowd"]]
    elif change == "crowd as one object":
        for row in pair.truth["annotations"]:
            row["iscrowd"] = 0
    else:
        for row in pair.results:
            row["bbox"][2:] = [row["bbox"][2] + 1, row["bbox"][3] + 1]
    assert pair.score()["metrics"]["box_AP"] == pytest.approx(expected, abs=0.005)


def test_a_case_by_hand(small: Pair) -> None:
    """Class cat: 3 objects; hits of IoU 1, 1/3 and 1, in the order of scores. Class dog: one object, one hit.

    The second detection overlaps its object in 5 of 10 rows: IoU 50 / 150. Precision is 1 up to recall 1/3 and 2/3
    up to recall 2/3: of the 101 points 34 (0 to 0.33) have 1 and 33 (0.34 to 0.66) have 2/3.
    """
    data = small.score()
    cat = (34 + 33 * 2 / 3) / 101
    assert data["ap_by_class"]["box"] == pytest.approx({"cat": 100 * cat, "dog": 100.0})
    for kind in ("box", "mask"):
        assert data["metrics"][f"{kind}_AP"] == pytest.approx(50 * (cat + 1))
        assert data["metrics"][f"{kind}_AR1"] == pytest.approx(50 * (2 / 3 + 1))
        # all squares are small, so nothing is measured on others; null is not 0
        assert data["metrics"][f"{kind}_AP_small"] == pytest.approx(50 * (cat + 1))
        assert data["metrics"][f"{kind}_AP_large"] is None
    assert [(row["found"], row["wrong"], row["objects"]) for row in data["items"]] == [(1, 1, 2), (2, 0, 2), (0, 0, 0)]
    assert [row["F1"] for row in data["items"]] == [50.0, 100.0, 100.0]
    assert (data["images_without_detections"], data["tied_detections"]) == (1, 0)


def test_no_detections_are_zero_and_no_error(small: Pair) -> None:
    small.results = []
    data = small.score()
    assert data["metrics"]["box_AP"] == data["metrics"]["box_AR100"] == 0
    assert data["images_without_detections"] == 3
    small.results = {"info": {}, "predictions": []}
    assert small.score()["metrics"]["box_AP"] == 0


def test_ties_are_counted_and_keep_the_order_of_the_file(small: Pair) -> None:
    """A wrong detection with the score of a right one: AP depends on which comes first."""
    wrong, right = make_detection(9, 7, [0, 0, 10, 10], 0.5), make_detection(9, 7, [20, 20, 10, 10], 0.5)
    values = []
    for rows in ([wrong, right], [right, wrong]):
        small.results = rows
        data = small.score()
        assert data["tied_detections"] == 2
        values.append(data["ap_by_class"]["box"]["dog"])
    assert values == pytest.approx([50, 100])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"image_id": 6}, "detection 0 is of image 6, which is not among the 3 images of the ground truth"),
        ({"image_id": "5"}, 'the image_id "5" (a text)'),
        ({"image_id": True}, "the image_id true"),
        ({"category_id": 4}, "a category that is not in the ground truth, the first 4 (its ids are 3 to 8)"),
        ({"category_id": 0}, "counted from 0: write the category's id"),
        ({"score": None}, "has the score null; write a number from 0 to 1"),
        ({"score": 97}, "has the score 97; write a number from 0 to 1, not percent and not a logit"),
        ({"bbox": [20, 20, -3, 4]}, "negative width or height"),
        ({"bbox": [1, 2, 3]}, "write left, top, width and height"),
        ({"bbox": [1, 2, 3, 1e300]}, "write left, top, width and height"),
        ({"bbox": None, "segmentation": None}, "has neither a bbox nor a segmentation"),
        ({"bbox": []}, "3 of 4 detections have a bbox; write it for all or none"),
        ({"segmentation": {"size": [20, 25], "counts": "0"}}, "run lengths for the size [20, 25]"),
        ({"segmentation": {"size": [40, 50], "counts": "zz"}}, "run lengths"),
    ],
)
def test_a_detection_that_cannot_be_meant_is_refused(small: Pair, change: dict[str, Any], text: str) -> None:
    rows: Rows = small.results
    if "category_id" in change and change["category_id"] == 0:
        rows[:] = [row | {"category_id": {3: 0, 7: 1}[row["category_id"]]} for row in rows]
    else:
        rows[0] |= change
    found = small.refuse().replace("'", '"').replace("True", "true").replace("None", "null")
    assert text.replace("'", '"') in found


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[ , ]", "is not valid JSON"),
        ('[{"score": NaN}]', "NaN is not a number of JSON"),
        ("[[1]]", "detection 0 is [1] and not an object"),
        ('{"images": []}', "is an object without detections"),
        ('"text"', "is not a list of detections"),
        ("[" * 100_000, "is not valid JSON"),
        ("[ ", "it ends too early"),
        ("", "is not a list of detections"),
    ],
)
def test_a_file_that_holds_no_detections_is_refused(small: Pair, content: str, text: str) -> None:
    truth = write_json(small.folder / "truth.json", small.truth)
    (small.folder / "bad.json").write_text(content)
    with pytest.raises(DataError, match=r"bad\.json") as caught:
        score_results(ScoreRequest("cocofolder", (small.folder / "bad.json",), annotations=truth))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "reading",
    ["fractions of the image", "center, width and height", "x and y exchanged", "mirrored from left to right"],
)
def test_other_ways_to_write_boxes_are_refused(small: Pair, reading: str) -> None:
    truth = small.truth
    for row in truth["annotations"]:
        row["bbox"] = [row["bbox"][0] + 5, row["bbox"][1] + 1, 12, 8]
        row.pop("segmentation")
    kept = [row for row in truth["annotations"] if not row["iscrowd"]]
    small.results = []
    for row in kept:
        left, top, width, height = row["bbox"]
        box = {
            "fractions of the image": [left / 50, top / 40, width / 50, height / 40],
            "center, width and height": [left + width / 2, top + height / 2, width, height],
            "x and y exchanged": [top, left, height, width],
            "mirrored from left to right": [50 - left - width, top, width, height],
        }[reading]
        small.results.append(make_detection(row["image_id"], row["category_id"], box, 0.9))
    assert f"look like {reading}: read so" in small.refuse()


def test_boxes_of_a_resized_image_are_refused(small: Pair) -> None:
    for row in small.results:
        row["bbox"] = [3 * each for each in row["bbox"]]
        row.pop("segmentation")
    assert "boxes reach outside of their image" in small.refuse()


def test_polygons_are_masks_too(small: Pair) -> None:
    expected = small.score()["metrics"]["mask_AP"]
    for row, (left, top) in zip(small.results, [(0, 0), (20, 5), (0, 0), (20, 20)], strict=True):
        row.pop("bbox")
        row["segmentation"] = [make_outline(left, top)]
    data = small.score()
    assert data["metrics"]["mask_AP"] == pytest.approx(expected)
    assert "box_AP" not in data["metrics"]


def test_detections_that_are_there_twice_are_said(small: Pair) -> None:
    once = small.score()["metrics"]["box_AP"]
    small.results += copy.deepcopy(small.results)
    data = small.score()
    assert any("4 detections are there twice" in each for each in data["warnings"])
    assert data["metrics"]["box_AP"] <= once


def test_annotations_from_id_0_are_found_too(small: Pair) -> None:
    """pycocotools alone counts the first object as never found."""
    expected = small.score()["metrics"]["box_AP"]
    for row in small.truth["annotations"]:
        row["id"] -= 1
    data = small.score()
    assert data["metrics"]["box_AP"] == pytest.approx(expected)
    assert any("annotation ids begin at 0" in note for note in data["data_notes"])


def test_what_is_not_val2017_is_not_called_coco(small: Pair) -> None:
    truth = write_json(small.folder / "truth.json", small.truth)
    results = write_json(small.folder / "results.json", small.results)
    with pytest.raises(DataError, match="score any other with bench score cocofolder --annotations FILE"):
        score_results(ScoreRequest("coco", (results,), annotations=truth))
    assert score_results(ScoreRequest("coco", (results,), annotations=truth, partial=True)).data["partial"] is True


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "bench score cocofolder needs the ground truth; name it with --annotations FILE"),
        (("--int",), "bench score cocofolder has no --int"),
        (("--results", "a", "b"), "takes one file of detections, not 2"),
    ],
)
def test_options_that_do_not_fit(
    words: tuple[str, ...], text: str, small: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    results = write_json(small.folder / "results.json", small.results)
    assert main(["score", "cocofolder", "--results", str(results), *words]) == 2
    assert text in capsys.readouterr().err


def test_only_detections_have_annotations(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="bench score lasot has no --annotations"):
        score_results(ScoreRequest("lasot", (tmp_path,), annotations=tmp_path / "a.json"))


def test_the_command_prints_and_writes(small: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    truth = write_json(small.folder / "truth.json", small.truth)
    results = write_json(small.folder / "results.json", small.results)
    words = ["--results", str(results), "--annotations", str(truth), "--out", str(small.folder / "out.json")]
    assert main(["score", "cocofolder", *words]) == 0
    text = capsys.readouterr().out
    assert "box AP 77.72 %" in text and "1 of them without detections, which counts as searched" in text
    kept = json.loads((small.folder / "out.json").read_text())
    assert main(["score", "cocofolder", *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == kept


def test_what_fills_the_memory_is_refused(small: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four pairs of image and category and one detection: 42,500 bytes by the estimate."""
    monkeypatch.setattr("detection.scoring.command._read_memory", lambda: 43_000)
    small.results = [make_detection(5, 3, [0, 0, 10, 10], 0.9)]
    assert small.score()["detections"] == 1
    monkeypatch.setattr("detection.scoring.command._read_memory", lambda: 42_000)
    with pytest.raises(DataError, match=r"scoring 1 detections .* needs about 0 GB of memory.*keep the 100 best"):
        small.score()
