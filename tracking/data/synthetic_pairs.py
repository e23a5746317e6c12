"""Training pairs made on the fly: a piece of one photograph pasted into another, seen at two moments.

Between the moments the target moves, grows, turns and stretches; distractors move on their own; something may stand
before the target; light, sharpness and noise change. A fifth of the pairs paste nothing: the target is a region of
the photograph itself. All draws come from the item's seed. Ours: no paper has it.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking.data.boxes import FloatArray
from tracking.data.crops import ImageArray
from tracking.data.cutouts import (
    AffineMatrix,
    Cutout,
    make_pose_matrix,
    make_view_matrix,
    outline_to_box,
    paint_cutout,
    sample_cutout,
    warp_image,
)
from tracking.data.pair import CropSizes, SearchJitter, TrainingPair, jitter_box


class SceneObject(NamedTuple):
    """A layer at the two moments."""

    cutout: Cutout
    poses: tuple[AffineMatrix, AffineMatrix]


class Scene(NamedTuple):
    """A background and what moves before it; the target's area is about 1 in the scene's unit.

    Attributes:
        background: the background.
        background_transforms: 3x3 from the photograph to the scene, at each moment.
        distractors, target, occluders: layers in the order of painting; ``target`` may be invisible (a region of the
            photo).
        target_boxes: of the target, x, y, w, h in the scene, at each moment.
        image_border: a border of the image, as signed distance from the target's centre in sides of the target, or
            ``None``.
    """

    background: ImageArray
    background_transforms: tuple[AffineMatrix, AffineMatrix]
    distractors: list[SceneObject]
    target: SceneObject | None
    occluders: list[SceneObject]
    target_boxes: tuple[FloatArray, FloatArray]
    image_border: tuple[int, float] | None


class PhotoPairSampler:
    """Makes pairs of photographs.

    Args:
        photos: at least two, (height, width, 3) each.
        sizes: of the crops.
        jitter: of the search region about the target.
        natural_fraction: share of pairs whose target is a region of the photograph.
    """

    def __init__(
        self, photos: list[ImageArray], sizes: CropSizes, jitter: SearchJitter, natural_fraction: float = 0.2
    ) -> None:
        # halved copies stand for far views: bilinear sampling alone would skip pixels
        self.photos = [
            (photo, cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)) for photo in photos
        ]
        self.sizes, self.jitter, self.natural_fraction = sizes, jitter, natural_fraction

    def sample_pair(self, rng: np.random.Generator) -> TrainingPair:
        """One pair."""
        scene = self._sample_scene(rng)
        sizes = self.sizes
        first, second = scene.target_boxes
        side = math.sqrt(first[2] * first[3]) * sizes.template_factor
        template = self._render_crop(rng, scene, 0, first, side, sizes.template_size)
        around = jitter_box(rng, second, self.jitter)
        side = math.sqrt(around[2] * around[3]) * sizes.search_factor
        search = self._render_crop(rng, scene, 1, around, side, sizes.search_size)
        centre = around[:2] + around[2:] / 2
        box = np.concatenate([(second[:2] - (centre - side / 2)) / side, second[2:] / side])
        return TrainingPair(template, search, box)

    def _sample_photo(self, rng: np.random.Generator) -> ImageArray:
        sizes = self.photos[rng.integers(len(self.photos))]
        return np.asarray(sizes[int(rng.random() < 0.3)])

    def _sample_scene(self, rng: np.random.Generator) -> Scene:
        photo = self._sample_photo(rng)
        height, width = photo.shape[:2]
        aspect = math.exp(np.clip(rng.normal(0, 0.5), -1.3, 1.3))
        size = (math.sqrt(aspect), 1 / math.sqrt(aspect))
        growth = math.exp(rng.normal(0, 0.18))
        stretch = math.exp(rng.normal(0, 0.08))
        grown = (size[0] * growth * stretch, size[1] * growth / stretch)
        pasted = rng.random() >= self.natural_fraction
        turn = rng.normal(0, 0.2 if pasted else 0.05)
        # pixels of the photograph in the target's side; the template's view must fit into the photograph
        scale = math.exp(rng.uniform(math.log(16), math.log(0.3 * min(height, width))))
        spot = rng.uniform(0.15, 0.85, 2) * (width, height)
        grounds = [_make_background_transform(scale, spot, (0.0, 0.0), 0.0)]
        if not pasted:
            grounds.append(_make_background_transform(scale / growth, spot, (0.0, 0.0), turn))
            ends = tuple(outline_to_box(_UNIT_SQUARE, make_pose_matrix((0, 0), pair)) for pair in (size, grown))
            return Scene(
                photo,
                (grounds[0], grounds[1]),
                [],
                None,
                self._sample_occluders(rng, grown),
                (ends[0], ends[1]),
                _sample_image_border(rng),
            )
        drift = rng.normal(0, 0.7, 2) if rng.random() < 0.8 else rng.normal(0, 12, 2)
        grounds.append(
            _make_background_transform(
                scale / math.exp(rng.normal(0, 0.08)), spot, (drift[0], drift[1]), rng.normal(0, 0.03)
            )
        )
        source = photo if rng.random() < 0.3 else self._sample_photo(rng)
        layer = sample_cutout(rng, source, aspect, edge_blur=rng.choice([0.0, 0.03, 0.08]))
        lean = rng.normal(0, 0.06)
        places = (make_pose_matrix((0, 0), size), make_pose_matrix((0, 0), grown, turn, lean))
        target = SceneObject(layer, places)
        boxes = (outline_to_box(layer.outline, places[0]), outline_to_box(layer.outline, places[1]))
        behind = [self._sample_distractor(rng, target, size, grown) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
        return Scene(
            photo,
            (grounds[0], grounds[1]),
            behind,
            target,
            self._sample_occluders(rng, grown),
            boxes,
            _sample_image_border(rng),
        )

    def _sample_distractor(
        self, rng: np.random.Generator, target: SceneObject, size: tuple[float, float], final_size: tuple[float, float]
    ) -> SceneObject:
        """Something else that moves beside the target; one in four has its shape and another piece of its photo."""
        layer = sample_cutout(rng, self._sample_photo(rng), math.exp(rng.normal(0, 0.4)))
        if rng.random() < 0.25:
            twin = sample_cutout(rng, target.cutout.photo, size[0] / size[1])
            layer = target.cutout._replace(photo_from_square=twin.photo_from_square)
        bulk = math.exp(rng.normal(0, 0.3))
        places = []
        for extent in (size, final_size):
            away, angle = rng.uniform(1.0, 2.6), rng.uniform(0, 2 * math.pi)
            spot = (away * math.cos(angle) * max(1, extent[0]), away * math.sin(angle) * max(1, extent[1]))
            places.append(make_pose_matrix(spot, (extent[0] * bulk, extent[1] * bulk), rng.normal(0, 0.2)))
        return SceneObject(layer, (places[0], places[1]))

    def _sample_occluders(self, rng: np.random.Generator, size: tuple[float, float]) -> list[SceneObject]:
        """In a quarter of the pairs something covers a part of the target at the second moment."""
        if rng.random() > 0.25:
            return []
        layer = sample_cutout(rng, self._sample_photo(rng), math.exp(rng.normal(0, 0.6)))
        angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.45, 0.8)
        spot = (away * math.cos(angle) * size[0], away * math.sin(angle) * size[1])
        bulk = rng.uniform(0.5, 1.0)
        far = make_pose_matrix((50.0, 50.0), size)
        return [SceneObject(layer, (far, make_pose_matrix(spot, (size[0] * bulk, size[1] * bulk), rng.normal(0, 0.3))))]

    def _render_crop(
        self, rng: np.random.Generator, scene: Scene, time_index: int, center_box: FloatArray, side: float, size: int
    ) -> ImageArray:
        """The scene through a square window about the centre of a box."""
        centre = center_box[:2] + center_box[2:] / 2
        window = make_view_matrix((centre[0] - side / 2, centre[1] - side / 2), side, size)
        picture = warp_image(
            scene.background, window @ scene.background_transforms[time_index], (size, size), cv2.BORDER_REFLECT_101
        )
        things = [*scene.distractors, *([scene.target] if scene.target else []), *scene.occluders]
        for thing in things:
            paint_cutout(picture, thing.cutout, window @ thing.poses[time_index])
        picture = distort_photometric(rng, picture)
        if scene.image_border is not None:
            axis, distance = scene.image_border
            line = round(window[axis, axis] * distance + window[axis, 2])
            beyond = slice(max(line, 0), None) if distance > 0 else slice(0, max(line, 0))
            picture[(beyond, slice(None)) if axis else (slice(None), beyond)] = 0
        return picture


_UNIT_SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)


def _make_background_transform(
    scale: float, photo_point: FloatArray, scene_point: tuple[float, float], rotation: float
) -> AffineMatrix:
    """3x3 from a photograph to the scene: ``scale`` pixels are one unit, ``photo_point`` comes to ``scene_point``."""
    c, s = math.cos(rotation) / scale, math.sin(rotation) / scale
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    matrix[:2, 2] = np.array(scene_point) - matrix[:2, :2] @ photo_point
    return matrix


def _sample_image_border(rng: np.random.Generator) -> tuple[int, float] | None:
    """In a tenth of the pairs the image ends near the target."""
    if rng.random() > 0.1:
        return None
    return int(rng.integers(2)), float(rng.choice([-1, 1]) * rng.uniform(0.4, 2.0))


def distort_photometric(rng: np.random.Generator, image: ImageArray) -> ImageArray:
    """Light, contrast, colour, sharpness, noise and compression of one moment."""
    values: NDArray[Any] = image.astype(np.float32)
    mean = float(values.mean())
    gain, lift = rng.uniform(0.75, 1.25), rng.uniform(-20, 20)
    cast = rng.normal(1, 0.04, 3).astype(np.float32)
    values = ((values - mean) * rng.uniform(0.75, 1.2) + mean) * (gain * cast) + lift
    chance = rng.random()
    if chance < 0.2:
        values = cv2.GaussianBlur(values, (0, 0), rng.uniform(0.4, 1.3))
    elif chance < 0.35:
        values = cv2.filter2D(values, -1, _motion_blur_kernel(rng))
    if rng.random() < 0.3:
        values += rng.standard_normal(values.shape, np.float32) * np.float32(rng.uniform(1, 8))
    out = np.clip(values, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return out


def _motion_blur_kernel(rng: np.random.Generator) -> FloatArray:
    """A motion-blur kernel: a line of 3 to 7 pixels in a random direction."""
    length = int(rng.choice([3, 5, 7]))
    kernel = np.zeros((length, length), np.uint8)
    angle = rng.uniform(0, math.pi)
    reach = (length - 1) / 2
    ends = [
        (round(reach + sign * reach * math.cos(angle)), round(reach + sign * reach * math.sin(angle)))
        for sign in (-1, 1)
    ]
    cv2.line(kernel, ends[0], ends[1], 1)
    return np.asarray(kernel / kernel.sum(), np.float64)
