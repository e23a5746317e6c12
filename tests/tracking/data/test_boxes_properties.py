"""Geometry of boxes and crops, and files of boxes, for any numbers and any text."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foundation.errors import DataError
from tests.property_settings import FEW
from tracking.data.box_files import MAX_COORDINATE, parse_boxes, parse_predicted_boxes
from tracking.data.boxes import CLIP_MARGIN, clip_box, has_area, require_first_box
from tracking.data.crops import CropGeometry, crop_to_image_box, crop_window, image_to_crop_box, make_crop_window
from tracking.data.pair import SearchJitter, flip_horizontal, jitter_box
from tracking.inference.result_files import _format_rows

FILE = Path("boxes.txt")

WILD = st.floats(width=32)
PLACES = st.floats(-3000, 3000)
SIDES = st.floats(0.5, 3000)
BOXES = st.tuples(PLACES, PLACES, SIDES, SIDES)
IMAGE_SIDES = st.integers(CLIP_MARGIN, 5000)
GEOMETRIES = st.sampled_from(["ostrack", "exact"])


@FEW
@given(st.tuples(PLACES, PLACES, st.floats(-3000, 3000), st.floats(-3000, 3000)), IMAGE_SIDES, IMAGE_SIDES)
def test_a_clipped_box_stays_in_sight(box: tuple[float, ...], width: int, height: int) -> None:
    x, y, w, h = clip_box(box, width, height).tolist()
    assert 0 <= x <= width - CLIP_MARGIN and 0 <= y <= height - CLIP_MARGIN
    assert w >= CLIP_MARGIN and h >= CLIP_MARGIN and x + w <= width + 1e-6 and y + h <= height + 1e-6
    assert clip_box((x, y, w, h), width, height) == pytest.approx([x, y, w, h], abs=1e-6), "a second time"


@FEW
@given(st.tuples(WILD, WILD, WILD, WILD), IMAGE_SIDES, IMAGE_SIDES)
def test_a_tracker_starts_from_a_box_with_area_in_the_frame(box: tuple[float, ...], width: int, height: int) -> None:
    try:
        first = require_first_box(box, width, height, "here")
    except DataError:
        return
    assert np.isfinite(first).all() and has_area(first[None])[0]
    assert first[0] < width and first[1] < height and first[0] + first[2] > 0 and first[1] + first[3] > 0


@FEW
@given(BOXES, st.floats(0.5, 8))
def test_a_crop_is_a_square_around_the_box(box: tuple[float, ...], factor: float) -> None:
    window = make_crop_window(box, factor)
    x, y, w, h = box
    side = np.sqrt(w * h) * factor
    assert side <= window.side < side + 1 + 1e-9 * side
    # the corner is rounded to whole pixels
    assert abs(window.x + window.side / 2 - (x + w / 2)) <= 0.5 + 1e-6
    assert abs(window.y + window.side / 2 - (y + h / 2)) <= 0.5 + 1e-6


@FEW
@given(BOXES, BOXES, st.floats(1, 6), st.sampled_from([128, 256, 320]), GEOMETRIES)
def test_into_a_crop_and_back(
    box: tuple[float, ...], reference: tuple[float, ...], factor: float, size: int, geometry: CropGeometry
) -> None:
    window = make_crop_window(reference, factor)
    x, y, w, h = image_to_crop_box(box, reference, window, size, geometry).tolist()
    back = crop_to_image_box((x + w / 2, y + h / 2, w, h), reference, window, geometry)
    # OSTrack trains relative to (size - 1) / 2 and tracks relative to size / 2: half a pixel of the crop apart
    shift = 0.5 * window.side / size if geometry == "ostrack" else 0.0
    assert back == pytest.approx(np.asarray(box) - [shift, shift, 0, 0], abs=1e-6 * (1 + window.side))


@FEW
@given(st.tuples(st.floats(-200, 200), st.floats(-200, 200), st.floats(4, 60), st.floats(4, 60)), GEOMETRIES)
def test_a_crop_of_a_plain_image_is_plain_inside(box: tuple[float, ...], geometry: CropGeometry) -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    crop = crop_window(image, make_crop_window(box, 2.0), 32, geometry)
    assert crop.shape == (32, 32, 3) and set(np.unique(crop)) <= set(range(201)), "between black and the plain color"


@FEW
@given(BOXES, st.integers(0, 2**32 - 1), st.floats(0, 5), st.floats(0, 1))
def test_jitter_keeps_a_box(box: tuple[float, ...], seed: int, center: float, scale: float) -> None:
    moved = jitter_box(np.random.default_rng(seed), np.asarray(box), SearchJitter(center, scale))
    assert np.isfinite(moved).all() and (moved[2:] > 0).all()
    still = jitter_box(np.random.default_rng(seed), np.asarray(box), SearchJitter(0.0, 0.0))
    assert still == pytest.approx(box)


@FEW
@given(st.tuples(*[st.floats(0, 1)] * 4))
def test_a_mirror_image_of_a_mirror_image(box: tuple[float, ...]) -> None:
    image = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    again, back = flip_horizontal(*flip_horizontal(image, np.asarray(box)))
    assert (again == image).all() and back == pytest.approx(box)


@FEW
@given(st.lists(st.tuples(PLACES, PLACES, st.floats(0, 3000), st.floats(0, 3000)), min_size=1, max_size=20))
def test_written_boxes_are_read_back(rows: list[tuple[float, ...]]) -> None:
    boxes = np.round(np.asarray(rows), 3)
    text = _format_rows(boxes, 3)
    assert (parse_predicted_boxes(text.encode(), FILE) == boxes).all()
    for separator in (" ", "\t", ", ", ",\t"):
        assert (parse_boxes(text.replace(",", separator).encode(), FILE) == boxes).all()
    assert (parse_boxes(text.replace("\n", "\r\n").encode(), FILE) == boxes).all()


@FEW
@given(
    st.binary(max_size=80)
    | st.text(alphabet="0123456789.eE+-, \t\n\rnaifx_\x0c", max_size=80).map(str.encode)
    | st.lists(WILD, min_size=4, max_size=4).map(lambda row: ",".join(map(str, row)).encode()),
    st.booleans(),
)
@example(b"1,2,3,1e400\n", False)
@example(b"1e200,1e200,1e200,1e200\n", False)
@example(b"nan,nan,nan,nan\n", True)
@example(b"nan,1,1,1\n", True)
@example(b"1_0,2,3,4\n", False)
@example(b"1,2,3,4\n\n1,2,3,4", False)
@example("\uff11,2,3,4\n".encode(), False)
@example(b"\xff\xfe1\x00", False)
@example(b"# 1,2,3,4\n", False)
@example(b'"1,2,3,4"\n', False)
def test_any_text_is_boxes_or_refused(content: bytes, allow_nan: bool) -> None:
    try:
        boxes = parse_boxes(content, FILE, allow_nan=allow_nan)
    except DataError as error:
        assert "boxes.txt" in str(error)
        return
    assert boxes.shape == (boxes.shape[0], 4) and len(boxes) > 0
    lines = (
        content.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip().count(b"\n") + 1
    )
    assert len(boxes) == lines or b"\xa0" in content or b"\x85" in content or b"\x1c" in content
    absent = np.isnan(boxes).all(axis=1)
    assert allow_nan or not absent.any()
    assert (np.abs(boxes[~absent]) <= MAX_COORDINATE).all(), (
        "areas and distances stay finite; one NaN among numbers is damage"
    )
