"""Annotation files in COCO's format: read as they are meant, or refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from detection.data.annotation_file import AnnotationFile, read_annotations
from detection.data.ground_truth import Category
from detection.data.instance_masks import pack_mask, unpack_counts
from foundation.errors import DataError
from tests.detection.data.coco_files import make_content, make_object, write_annotations


def read(folder: Path, content: dict[str, Any] | str) -> AnnotationFile:
    return read_annotations(write_annotations(folder, content), folder)


def test_images_and_categories_are_ordered_by_id(tmp_path: Path) -> None:
    found = read(tmp_path, make_content())
    assert [image.id for image in found.split.images] == [4, 6, 9]
    assert found.categories == [Category(2, "cat"), Category(7, "dog")]
    objects = found.split.annotations
    # the object of image 4 comes first, as its image does
    assert objects.ids.tolist() == [12, 11] and objects.images.tolist() == [0, 2]
    assert objects.labels.tolist() == [1, 0]
    assert objects.boxes.tolist() == [[0, 0, 4, 2], [2, 3, 10, 5]]
    assert objects.areas.tolist() == [8, 50]
    assert [objects.find_rows(image) for image in range(3)] == [slice(0, 1), slice(1, 1), slice(1, 2)]
    assert objects.masks is not None and [int(coco_mask.area(pack_mask(m, 20, 40))) for m in objects.masks] == [8, 50]
    assert found.notes == ()


def test_the_order_of_the_tables_does_not_matter(tmp_path: Path) -> None:
    content = make_content()
    backwards = {key: content[key] for key in reversed(content)}
    first, second = read(tmp_path, content), read(tmp_path, backwards)
    assert first.split.images == second.split.images
    np.testing.assert_array_equal(first.split.annotations.boxes, second.split.annotations.boxes)


def test_run_lengths_in_both_forms_and_polygons_side_by_side(tmp_path: Path) -> None:
    bitmap = np.zeros((20, 40), np.uint8)
    bitmap[3:8, 2:12] = 1
    packed = coco_mask.encode(np.asfortranarray(bitmap))
    size = [20, 40]
    masks = [
        {"size": size, "counts": packed["counts"].decode()},
        {"size": size, "counts": unpack_counts(packed["counts"])},
        [[2, 3, 12, 3, 12, 8, 2, 8]],
    ]
    objects = [make_object(id=number, segmentation=mask) for number, mask in enumerate(masks, start=1)]
    found = read(tmp_path, make_content(annotations=objects)).split.annotations
    assert found.masks is not None
    for mask in found.masks:
        np.testing.assert_array_equal(coco_mask.decode(pack_mask(mask, 20, 40)), bitmap)


def test_what_a_file_leaves_out_is_computed_and_said(tmp_path: Path) -> None:
    outline = [[2, 3, 12, 3, 12, 8, 2, 8]]
    objects = [
        make_object(id=1, area=None, iscrowd=None),
        make_object(id=2, area=None, bbox=None, segmentation=outline, ignore=1),
        make_object(id=3, bbox=[38, 3, 10, 5]),
        make_object(id=4, bbox=[3, 3, 0, 5]),
        *(make_object(id=number) for number in range(5, 9)),
    ]
    found = read(tmp_path, make_content(annotations=objects))
    assert found.split.annotations.areas.tolist()[:2] == [50, 50]
    assert found.split.annotations.boxes.tolist()[1] == [2, 3, 10, 5]
    assert found.split.annotations.masks is None, "seven objects have no mask"
    said = "\n".join(found.notes)
    for words in (
        "1 objects without iscrowd",
        "1 objects without area, computed from their masks",
        "1 objects without area, for which that of the box counts",
        "1 objects without bbox",
        "1 objects with the field ignore",
        "1 objects whose box has no area",
        "1 objects whose box reaches more than 2 px outside",
        "7 objects without a mask",
    ):
        assert words in said


def test_objects_that_are_there_twice_are_said(tmp_path: Path) -> None:
    """A perfect detector finds one of the two: 200 repeated objects took 8 points from an AP of 50."""
    objects = [make_object(id=number) for number in (1, 2)]
    assert "1 objects are there twice" in read(tmp_path, make_content(annotations=objects)).notes[-1]


def test_annotation_ids_from_0_are_counted_from_1(tmp_path: Path) -> None:
    """pycocotools takes the id 0 for "not matched": a perfect detector would have an AP of 0."""
    found = read(tmp_path, make_content(annotations=[make_object(id=number) for number in (0, 1)]))
    assert found.split.annotations.ids.tolist() == [1, 2]
    assert "begin at 0" in found.notes[0]


def replace_object(**changes: Any) -> dict[str, Any]:
    return make_content(annotations=[make_object(**changes)])


IMAGE = {"id": 9, "file_name": "9.png", "height": 20, "width": 40}

BAD_FILES: list[tuple[str, Any, str]] = [
    ("not JSON", "{", "is not valid JSON"),
    ("cut off", '{"images": [{"id": 1', "is not valid JSON"),
    ("text behind it", '{"images": []} x', "text behind the object"),
    ("deeply nested", '{"images": ' + "[" * 100_000, "is not valid JSON"),
    ("a long number", '{"images": [], "x": ' + "9" * 5_001 + "}", "a number has thousands of digits"),
    ("NaN", '{"images": [], "x": NaN}', "NaN is not a number"),
    ("a list of detections", "[]", "not a JSON object with images"),
    ("a table twice", '{"images": [], "images": []}', "has the key 'images' twice"),
    ("a table that is no list", make_content(images={}), "images is not a list"),
    ("no images", make_content(images=[]), "lists no images"),
    ("no categories", make_content(categories=[]), "lists no categories"),
    ("an image that is text", make_content(images=["9.png"]), "an element of images is"),
    ("an image twice", make_content(images=[IMAGE, IMAGE | {"file_name": "4.png"}]), "image 9 is listed twice"),
    ("a file twice", make_content(images=[IMAGE, IMAGE | {"id": 4}]), "of another image"),
    ("a file elsewhere", make_content(images=[IMAGE | {"file_name": "../9.png"}]), "leads out of the folder"),
    ("an absolute file", make_content(images=[IMAGE | {"file_name": "/etc/passwd"}]), "leads out of the folder"),
    ("no width", make_content(images=[{**IMAGE, "width": None}]), "has the height and width"),
    ("a missing image", make_content(images=[IMAGE, {**IMAGE, "id": 4, "file_name": "8.png"}]), "the first is 8.png"),
    ("a category twice", make_content(categories=[{"id": 2, "name": "a"}] * 2), "category 2 is listed twice"),
    (
        "a name twice",
        make_content(categories=[{"id": 2, "name": "a"}, {"id": 7, "name": "a"}]),
        "two categories have the name 'a'",
    ),
    ("a category without name", make_content(categories=[{"id": 2}]), "category 2 has the name None"),
    ("an object twice", make_content(annotations=[make_object(), make_object()]), "annotation 11 is there twice"),
    ("an unknown image", replace_object(image_id=5), "of image 5, which is not in images"),
    ("an unknown category", replace_object(category_id=3), r"has the category 3, .* \(ids 2 to 7\)"),
    ("a negative id", replace_object(id=-1), "an annotation has the id -1"),
    ("an id that is text", replace_object(id="1"), "an annotation has the id"),
    ("captions", replace_object(caption="a dog"), "has captions and no boxes"),
    ("detections", replace_object(score=0.5), "has a score, so these are detections"),
    ("neither box nor mask", replace_object(bbox=None), "neither a bbox nor a segmentation"),
    ("three numbers", replace_object(bbox=[1, 2, 3]), "has the bbox"),
    ("a negative width", replace_object(bbox=[12, 3, -10, 5]), "negative width or height"),
    ("a box elsewhere", replace_object(bbox=[50, 3, 5, 5]), "lies outside of its image of 40 x 20 px"),
    (
        "corners for sizes",
        make_content(annotations=[make_object(id=number, bbox=[20, 5, 38, 18]) for number in range(1, 6)]),
        "5 of 5 boxes reach outside of their image.* look like corners",
    ),
    ("a negative area", replace_object(area=-1), "has the area -1"),
    ("iscrowd 2", replace_object(iscrowd=2), "has iscrowd 2"),
    ("a polygon of two points", replace_object(segmentation=[[1, 2, 3, 4]]), "a polygon of 4 numbers"),
    ("an odd polygon", replace_object(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "a polygon of 7 numbers"),
    ("a polygon of texts", replace_object(segmentation=[["a"] * 6]), "something else than numbers"),
    ("flat polygons", replace_object(segmentation=[1, 2, 3, 4, 5, 6]), "is not a list of numbers"),
    ("a mask that is text", replace_object(segmentation="x"), "neither a list of polygons nor run lengths"),
    (
        "another size",
        replace_object(segmentation={"size": [40, 20], "counts": [800]}),
        r"run lengths for the size .*, and the image is 20 x 40",
    ),
    ("short runs", replace_object(segmentation={"size": [20, 40], "counts": [799]}), "799 pixels together"),
    ("negative runs", replace_object(segmentation={"size": [20, 40], "counts": [-1, 801]}), "not whole numbers from 0"),
    ("damaged runs", replace_object(segmentation={"size": [20, 40], "counts": "0P"}), "do.* not|in the middle"),
    (
        "runs of other signs",
        replace_object(segmentation={"size": [20, 40], "counts": "  "}),
        "not in COCO's compressed",
    ),
]


@pytest.mark.parametrize(("content", "said"), [pytest.param(*case[1:], id=case[0]) for case in BAD_FILES])
def test_a_wrong_file_is_refused_with_a_sentence(tmp_path: Path, content: Any, said: str) -> None:
    with pytest.raises(DataError, match=said) as error:
        read(tmp_path, content)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_compressed_run_lengths_are_decoded_as_pycocotools_encodes_them() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        bitmap = (rng.random((int(rng.integers(1, 30)), int(rng.integers(1, 200)))) < rng.random()).astype(np.uint8)
        flat = bitmap.ravel(order="F")
        changes = np.flatnonzero(np.diff(flat)) + 1
        runs = np.diff([0, *changes, flat.size]).tolist()
        expected = [0, *runs] if flat[0] else runs
        assert unpack_counts(coco_mask.encode(np.asfortranarray(bitmap))["counts"]) == expected
