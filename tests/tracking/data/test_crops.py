"""Crops and boxes against the values that OSTrack's own code gave (snapshot 33b5e125, OpenCV 5.0)."""

from __future__ import annotations

import numpy as np
import pytest

from foundation.errors import DataError
from tracking.data.boxes import clip_box, require_first_box
from tracking.data.crops import (
    CropWindow,
    crop_to_image_box,
    crop_window,
    has_image_overlap,
    image_to_crop_box,
    make_crop_window,
    make_hann_window,
)

RAMP = (np.arange(120 * 160 * 3) % 251).astype(np.uint8).reshape(120, 160, 3)


@pytest.mark.parametrize(
    ("box", "place", "total"),
    [
        ((50, 40, 30, 20), CropWindow(16, 1, 98), 24_572_726),
        ((-5, -5, 20, 20), CropWindow(-35, -35, 80), 7_801_318),
        ((140, 100, 30, 30), CropWindow(95, 55, 120), 6_966_985),
        ((10.4, 20.6, 33.3, 21.7), CropWindow(-27, -23, 108), 14_475_014),
    ],
)
def test_crops_are_ostracks_to_the_pixel(box: tuple[float, ...], place: CropWindow, total: int) -> None:
    assert make_crop_window(box, 4.0) == place
    assert int(crop_window(RAMP, place, 256).astype(np.int64).sum()) == total


def test_scale_of_the_first_crop() -> None:
    assert 256 / make_crop_window((50, 40, 30, 20), 4.0).side == pytest.approx(2.612245, abs=1e-6)


def test_padded_pixels_are_counted_as_ostrack_counts_them() -> None:
    """45,372 pixels of that crop touch padding: where a white image is not white (bilinear, so any share counts)."""
    place = make_crop_window((-5, -5, 20, 20), 4.0)
    padding = np.ones((place.side, place.side), np.float64)
    padding[35:, 35:] = 0
    import cv2

    assert int((cv2.resize(padding, (256, 256)) > 0).sum()) == 45_372
    white = crop_window(np.full_like(RAMP, 255), place, 256)
    assert (white[cv2.resize(padding, (256, 256)) == 0] == 255).all()


def test_a_crop_that_ends_at_the_border_loses_a_column_in_ostrack_only() -> None:
    white = np.full((50, 60, 3), 255, np.uint8)
    place = CropWindow(40, 30, 20)
    compatible, exact = (crop_window(white, place, 20, name) for name in ("ostrack", "exact"))
    assert (compatible[:, -1] == 0).all() and (compatible[-1] == 0).all() and (compatible[:-1, :-1] == 255).all()
    assert (exact == 255).all()


def test_a_crop_far_outside_is_black() -> None:
    place = CropWindow(-500, -500, 40)
    assert not crop_window(RAMP, place, 16).any()
    assert not has_image_overlap(RAMP, place) and has_image_overlap(RAMP, CropWindow(159, 119, 40))


def test_box_into_a_crop_as_ostrack_maps_it() -> None:
    around = (48, 42, 28, 24)
    place = make_crop_window(around, 4.0)
    assert place.side == 104
    assert image_to_crop_box((50, 40, 30, 20), around, place, 256) == pytest.approx(
        [0.3827, 0.3634, 0.2885, 0.1923], abs=5e-5
    )


@pytest.mark.parametrize("seed", range(20))
def test_exact_boxes_come_back_and_ostracks_are_half_a_crop_pixel_off(seed: int) -> None:
    rng = np.random.default_rng(seed)
    box = np.array([*rng.uniform(-20, 200, 2), *rng.uniform(5, 90, 2)])
    around = box + rng.uniform(-4, 4, 4)
    place = make_crop_window(around, 4.0)
    for geometry, shift in (("exact", 0.0), ("ostrack", -0.5 * place.side / 256)):
        x, y, w, h = image_to_crop_box(box, around, place, 256, geometry)
        back = crop_to_image_box((x + w / 2, y + h / 2, w, h), around, place, geometry)
        assert back == pytest.approx(box + np.array([shift, shift, 0, 0]), abs=1e-9)


def test_the_exact_crop_shows_what_the_exact_box_says() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:100, 120:200] = 255
    box = (120, 60, 80, 40)
    around = (110.3, 71.8, 66.0, 55.0)
    place = make_crop_window(around, 4.0)
    bright = crop_window(image, place, 256, "exact")[..., 0] > 127
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    x, y, w, h = 256 * image_to_crop_box(box, around, place, 256, "exact")
    found = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    assert found == pytest.approx((x, y, x + w, y + h), abs=1.0)


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((-20, -30, 50, 60), (0, 0, 30, 30)),
        ((630, 470, 50, 50), (630, 470, 10, 10)),
        ((100, 100, 2, 3), (100, 100, 10, 10)),
        ((-100, -100, 20, 20), (0, 0, 10, 10)),
    ],
)
def test_clipping(box: tuple[float, ...], clipped: tuple[float, ...]) -> None:
    assert clip_box(box, 640, 480).tolist() == list(clipped)


def test_hann() -> None:
    expected = [0.033764, 0.130496, 0.277131, 0.453866, 0.636831, 0.801317, 0.925109, 0.991487]
    map16 = make_hann_window(16)
    line = np.sqrt(np.diag(map16))
    assert line[:8] == pytest.approx(expected, abs=1e-6)
    assert line == pytest.approx(line[::-1])
    assert map16.max() == pytest.approx(0.983046, abs=1e-6) and map16.sum() == pytest.approx(72.25, abs=1e-9)
    expected14 = [0.043227, 0.165435, 0.345492, 0.552264, 0.75, 0.904508, 0.989074]
    assert np.sqrt(np.diag(make_hann_window(14)))[:7] == pytest.approx(expected14, abs=1e-6)


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ((10, 10, 0, 5), "has no area"),
        ((700, 10, 20, 20), "lies outside the frame of 640 x 480 px"),
        ((-30, 10, 20, 20), "lies outside the frame"),
        ((float("nan"), 10, 20, 20), "not four finite numbers"),
        ((1, 2, 3), "not four finite numbers"),
    ],
)
def test_a_first_box_nobody_can_start_from(box: tuple[float, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        require_first_box(box, 640, 480, "sequence cat-1")


def test_no_crop_about_nothing() -> None:
    with pytest.raises(DataError, match="has no area"):
        make_crop_window((3, 4, 0, 5), 4.0)
