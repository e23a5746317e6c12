"""Which frames make a pair, how it is cut and changed, and pairs made of photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import tracking.data.synthetic_pairs as photo_pairs_module
from engine.data import photographs
from foundation.errors import DataError
from tracking.data.crops import CropGeometry, ImageArray
from tracking.data.cutouts import make_pose_matrix, outline_to_box, paint_cutout, sample_cutout
from tracking.data.pair import (
    CropSizes,
    SearchJitter,
    adjust_brightness,
    flip_frame,
    flip_horizontal,
    jitter_box,
    to_frame_grayscale,
    to_grayscale,
)
from tracking.data.pair_dataset import PairDataset, WeightedPairSampler
from tracking.data.readers.sequence import Video
from tracking.data.synthetic_pairs import PhotoPairSampler
from tracking.data.video_pairs import PairAugmentation, VideoPairSampler, is_usable_video, sample_frame_pair

SIZES = CropSizes(64, 128, 2.0, 4.0, "exact")
FAR = make_pose_matrix((90.0, 90.0), (1.0, 1.0))
STILL = PairAugmentation(grayscale=0, flip=0, frame_flip=0, brightness=0)


def test_search_frames_follow_the_template_within_the_gap() -> None:
    visible = np.zeros(1000, bool)
    visible[[3, 10, 150, 400, 401, 999]] = True
    drawn = {sample_frame_pair(np.random.default_rng(seed), visible, 200) for seed in range(600)}
    after = {3: {10, 150}, 10: {150}, 150: {400, 401}, 400: {401}, 401: {999}}  # 150 and 401: the window grew
    assert {template for template, _ in drawn} == set(after)
    for template, search in drawn:
        assert search in after[template] or (template == 150 and search == 400)


def test_every_frame_of_the_window_is_as_likely() -> None:
    visible = np.ones(300, bool)
    gaps = [b - a for a, b in (sample_frame_pair(np.random.default_rng(s), visible, 5) for s in range(4000)) if a < 290]
    counts = np.bincount(gaps)[1:]
    assert len(counts) == 4 and counts.min() > 0.2 * len(gaps), "t+1 .. t+4, a quarter each"


def video(tmp_path: Path, frames: int = 30, visible: int = 30) -> Video:
    """A red square of 20 px at (100 + 2 i, 60) in grey noise."""
    rng = np.random.default_rng(0)
    paths, boxes = [], []
    for number in range(frames):
        image = rng.integers(100, 140, (160, 240, 3), np.uint8)
        image[60:80, 100 + 2 * number : 120 + 2 * number] = (0, 0, 255)
        paths.append(tmp_path / f"{number}.png")
        cv2.imwrite(str(paths[-1]), image)
        boxes.append((100 + 2 * number, 60, 20, 20))
    return Video("red", paths, np.array(boxes, float), np.arange(frames) < visible)


def red_box(crop: np.ndarray) -> np.ndarray:
    red = (crop[..., 0] > 180) & (crop[..., 1] < 60)
    rows, columns = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
    return np.array([columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]]) / len(crop)


@pytest.mark.parametrize(
    "augmentation",
    [STILL, PairAugmentation(0, 0.5, 0.5, 0), PairAugmentation(0, 0.5, 0.5, 0, on_frames=True)],
    ids=["still", "mirrored", "frames mirrored"],
)
def test_the_box_is_where_the_target_is(tmp_path: Path, augmentation: PairAugmentation) -> None:
    maker = VideoPairSampler([video(tmp_path)], SIZES, SearchJitter(1.5, 0.25), 20, augmentation)
    for seed in range(12):
        pair = maker.sample_pair(np.random.default_rng(seed))
        assert red_box(pair.search) == pytest.approx(pair.box, abs=1.5 / 128 + 0.008)
        assert red_box(pair.template) == pytest.approx([0.25, 0.25, 0.5, 0.5], abs=0.03)


def test_jitter_has_the_stated_spread() -> None:
    box = np.array([50.0, 60.0, 20.0, 30.0])
    many = np.array([jitter_box(np.random.default_rng(s), box, SearchJitter(3.0, 0.25)) for s in range(4000)])
    logs = np.log(many[:, 2:] / box[2:])
    assert logs.mean(0) == pytest.approx([0, 0], abs=0.02) and logs.std(0) == pytest.approx([0.25, 0.25], abs=0.02)
    away = (many[:, :2] + many[:, 2:] / 2 - [60, 75]) / np.sqrt(many[:, 2:].prod(1))[:, None]
    assert np.abs(away).max() <= 1.5 and away.std(0) == pytest.approx([3 / np.sqrt(12)] * 2, abs=0.03)


def test_small_changes_by_hand() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[1, 0] = (100, 200, 50)
    mirrored, box = flip_horizontal(image, np.array([0.0, 0.25, 0.25, 0.25]))
    assert tuple(mirrored[1, 3]) == (100, 200, 50) and box.tolist() == [0.75, 0.25, 0.25, 0.25]
    assert tuple(to_grayscale(image)[1, 0]) == (153, 153, 153)  # 29.9 + 117.4 + 5.7
    assert tuple(adjust_brightness(image, 1.5)[1, 0]) == (150, 255, 75)


@pytest.mark.parametrize(("geometry", "left"), [("exact", 120), ("ostrack", 119)])
def test_a_frame_is_mirrored_before_it_is_cut(geometry: CropGeometry, left: int) -> None:
    """Columns 100 to 119 of 240 become 120 to 139: the exact box begins at 120, and OSTrack's 240 - 1 - 100 - 20."""
    ramp = np.zeros((60, 240, 3), np.uint8)
    ramp[:] = np.arange(240, dtype=np.uint8)[None, :, None]
    truth = np.array([100.0, 20.0, 20.0, 20.0])
    assert flip_frame(ramp, truth, geometry)[1].tolist() == [left, 20, 20, 20]

    class Ramp(Video):
        def read_frame(self, number: int) -> ImageArray:
            return ramp

    films = Ramp("ramp", [Path("a"), Path("b")], np.array([truth, truth]), np.ones(2, bool))
    # windows of 40 px that are not resized, so a pixel says which column of the frame it was
    sizes = CropSizes(40, 40, 2.0, 2.0, geometry)
    changes = PairAugmentation(0, flip=1, frame_flip=0, brightness=0, on_frames=True)
    maker = object.__new__(VideoPairSampler)
    maker.sizes, maker.jitter, maker.augmentation = sizes, SearchJitter(0, 0), changes
    pair = maker._crop_pair(np.random.default_rng(0), films, 0, 1)
    assert pair is not None
    # the window begins 10 px left of the box, at column left - 10, which was column 239 - (left - 10)
    assert pair.template[0, :, 0].tolist() == pair.search[0, :, 0].tolist() == [249 - left - i for i in range(40)]
    assert maker._augment_pair(np.random.default_rng(0), pair).search[0, 0, 0] == 249 - left, "mirrored once"
    # a quarter of the side on each side of the box; OSTrack's training maps it half a pixel further left
    half = 0.0 if geometry == "exact" else 0.5
    assert pair.box * 40 == pytest.approx([10 - half, 10 - half, 20, 20])


def test_frames_turn_gray_with_the_integers_of_opencv() -> None:
    """By Y = (9798 R + 19235 G + 3735 B + 2^14) / 2^15, rounded down; 0.299 R + 0.587 G + 0.114 B is 91.501 here."""
    image = np.full((2, 2, 3), (150, 35, 229), np.uint8)
    assert (9798 * 150 + 19235 * 35 + 3735 * 229 + 2**14) // 2**15 == 91
    assert np.unique(to_frame_grayscale(image)).tolist() == [91] and np.unique(to_grayscale(image)).tolist() == [92]


def test_which_videos_are_usable(tmp_path: Path) -> None:
    assert is_usable_video(video(tmp_path, 20, 5))
    assert not is_usable_video(video(tmp_path, 20, 4)) and not is_usable_video(video(tmp_path, 19, 19))
    still = video(tmp_path, 1, 1)
    assert is_usable_video(still)
    maker = VideoPairSampler([still], SIZES, SearchJitter(0, 0), 20, STILL)
    assert maker.sample_pair(np.random.default_rng(0)).box == pytest.approx([0.375, 0.375, 0.25, 0.25])
    with pytest.raises(DataError, match="none of 1 training sequences"):
        VideoPairSampler([video(tmp_path, 19, 19)], SIZES, SearchJitter(0, 0), 20, STILL)


def test_an_unreadable_frame_is_named_or_counted(tmp_path: Path) -> None:
    films = video(tmp_path)
    for path in films.frames[::2]:
        path.write_bytes(b"")
    strict, lenient = (VideoPairSampler([films], SIZES, SearchJitter(0, 0), 20, STILL, skip) for skip in (False, True))
    with pytest.raises(DataError, match=r"the frame .*\d+\.png cannot be decoded"):
        for seed in range(20):
            strict.sample_pair(np.random.default_rng(seed))
    counts = []
    for seed in range(20):
        lenient.sample_pair(np.random.default_rng(seed))
        counts.append(lenient.skipped)
    assert sum(counts) > 0
    for path in films.frames:
        path.unlink(missing_ok=True)
    with pytest.raises(DataError, match="100 draws in a row"):
        lenient.sample_pair(np.random.default_rng(0))


@pytest.fixture(scope="module")
def photo_pairs() -> PhotoPairSampler:
    return PhotoPairSampler(photographs.load_photos(photographs.TRAIN_PHOTOS), SIZES, SearchJitter(3.0, 0.25))


def test_photo_pairs_depend_on_the_seed_alone(photo_pairs: PhotoPairSampler) -> None:
    first, again, other = (photo_pairs.sample_pair(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (first.search == again.search).all() and (first.template == again.template).all()
    assert first.box.tolist() == again.box.tolist() != other.box.tolist()
    assert not (first.search == other.search).all()


def extent(picture: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is bright."""
    bright = picture[..., 0] > 127
    rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


@pytest.mark.parametrize("seed", range(20))
def test_a_layer_is_painted_where_its_box_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = sample_cutout(rng, np.full((300, 300, 3), 255, np.uint8), 1.3)
    place = make_pose_matrix((150, 140), (120, 70), rng.normal(0, 0.3), rng.normal(0, 0.1))
    canvas = np.zeros((300, 300, 3), np.uint8)
    paint_cutout(canvas, layer, place)
    x, y, w, h = outline_to_box(layer.outline, place)
    assert extent(canvas) == pytest.approx((x, y, x + w, y + h), abs=2.5)


def test_photo_pairs_have_the_target_where_the_box_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """White targets over black, nothing else in the picture: what is bright in both crops is the box."""
    white, black = np.full((300, 300, 3), 255, np.uint8), np.zeros((300, 300, 3), np.uint8)
    monkeypatch.setattr(
        photo_pairs_module, "sample_cutout", lambda rng, _, aspect, edge_blur=0.0: sample_cutout(rng, white, aspect)
    )
    monkeypatch.setattr(photo_pairs_module, "distort_photometric", lambda _, picture: picture)
    monkeypatch.setattr(photo_pairs_module, "_sample_image_border", lambda _: None)
    monkeypatch.setattr(PhotoPairSampler, "_sample_occluders", lambda *_: [])
    monkeypatch.setattr(
        PhotoPairSampler, "_sample_distractor", lambda _, rng, target, *__: target._replace(poses=(FAR, FAR))
    )
    sizes = SIZES._replace(template_size=256, search_size=256)
    maker = PhotoPairSampler([black], sizes, SearchJitter(1.5, 0.2), natural_fraction=0.0)
    for seed in range(20):
        template, search, box = maker.sample_pair(np.random.default_rng(seed))
        corners = 256 * np.array([*box[:2], *(box[:2] + box[2:])])
        assert extent(search) == pytest.approx(corners, abs=3)
        left, top, right, bottom = extent(template)
        assert ((left + right) / 2, (top + bottom) / 2) == pytest.approx((128, 128), abs=2)
        assert np.sqrt((right - left) * (bottom - top)) == pytest.approx(128, abs=3)


def test_most_targets_of_photo_pairs_are_in_the_search_region(photo_pairs: PhotoPairSampler) -> None:
    boxes = np.array([photo_pairs.sample_pair(np.random.default_rng(seed)).box for seed in range(200)])
    centres = boxes[:, :2] + boxes[:, 2:] / 2
    assert ((centres > 0) & (centres < 1)).all(1).mean() > 0.95
    areas = np.sqrt(boxes[:, 2:].prod(1))
    assert np.median(areas) == pytest.approx(0.25, abs=0.03) and areas.min() > 0.08


def test_test_photographs_are_in_no_training_pair() -> None:
    assert not set(photographs.TRAIN_PHOTOS) & set(photographs.TEST_PHOTOS)
    train, test = photographs.load_photos(photographs.TRAIN_PHOTOS), photographs.load_photos(photographs.TEST_PHOTOS)
    assert all(image.ndim == 3 and image.dtype == np.uint8 and min(image.shape[:2]) > 150 for image in train + test)


def test_items_are_drawn_by_weight() -> None:
    class Maker:
        def __init__(self, shade: int) -> None:
            self.shade = shade

        def sample_pair(self, rng: np.random.Generator):  # type: ignore[no-untyped-def]
            from tracking.data.pair import TrainingPair

            return TrainingPair(np.full((4, 4, 3), self.shade, np.uint8), np.zeros((8, 8, 3), np.uint8), np.zeros(4))

    items = PairDataset([WeightedPairSampler(Maker(1), 3.0), WeightedPairSampler(Maker(2), 1.0)], 2000, seed=0)
    shades = [int(items[number]["template"][0, 0, 0]) for number in range(2000)]
    assert shades.count(1) / 2000 == pytest.approx(0.75, abs=0.03)
