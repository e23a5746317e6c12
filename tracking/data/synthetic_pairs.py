"""Training pairs generated on the fly: a piece of one photograph is pasted into another and seen at two moments.

Between the moments the target moves, grows, rotates and stretches; distractors move on their own; an occluder may cover
the target; light, sharpness and noise change. In a fifth of the pairs nothing is pasted: the target is a region of the
photograph itself. All random numbers come from the seed of the item. Ours: no paper has it.
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
    """A cut-out and its pose at each of the two moments."""

    cutout: Cutout
    poses: tuple[AffineMatrix, AffineMatrix]


class Scene(NamedTuple):
    """A background with objects in front of it, in units in which the target's area is about 1.

    Attributes:
        background: the background photograph, shape (height, width, 3).
        background_transforms: affine maps from the photograph to the scene, one for each moment, shape (3, 3) each.
        distractors: cut-outs behind the target, in painting order.
        target: the cut-out to follow, or ``None`` if the target is a region of the background.
        occluders: cut-outs in front of the target.
        target_boxes: x, y, width, height of the target in the scene, for each moment.
        image_border: a simulated border of the image: the axis (0: x, 1: y) and the signed distance from the target's
            center in units of the scene; ``None`` for no border.
    """

    background: ImageArray
    background_transforms: tuple[AffineMatrix, AffineMatrix]
    distractors: list[SceneObject]
    target: SceneObject | None
    occluders: list[SceneObject]
    target_boxes: tuple[FloatArray, FloatArray]
    image_border: tuple[int, float] | None


class PhotoPairSampler:
    """Draws training pairs from photographs.

    Args:
        photos: at least two photographs, RGB, shape (height, width, 3) each.
        sizes: sizes of the crops.
        jitter: random displacement of the search region.
        natural_fraction: fraction of pairs whose target is a region of the photograph.

    Attributes:
        turn_deviation: standard deviation of the angle, in radians, by which a pasted target turns.
    """

    turn_deviation = 0.2

    def __init__(
        self, photos: list[ImageArray], sizes: CropSizes, jitter: SearchJitter, natural_fraction: float = 0.2
    ) -> None:
        # half-size copies are used for distant views, where bilinear interpolation of the original would skip pixels
        self.photos = [
            (photo, cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)) for photo in photos
        ]
        self.sizes, self.jitter, self.natural_fraction = sizes, jitter, natural_fraction

    def sample_pair(self, rng: np.random.Generator) -> TrainingPair:
        """Draw one pair; the same pair for the same state of ``rng``.

        Args:
            rng: random generator.
        """
        return self._render_pair(rng, self._sample_scene(rng))

    def _render_pair(self, rng: np.random.Generator, scene: Scene) -> TrainingPair:
        """Render the crops of a scene; the search region is moved and scaled at random."""
        sizes = self.sizes
        first, second = scene.target_boxes
        # crops are views of the scene with exact, unrounded corners, whatever ``sizes.geometry`` says
        side = math.sqrt(first[2] * first[3]) * sizes.template_factor
        template = self._render_crop(rng, scene, 0, first, side, sizes.template_size)
        around = jitter_box(rng, second, self.jitter)
        side = math.sqrt(around[2] * around[3]) * sizes.search_factor
        search = self._render_crop(rng, scene, 1, around, side, sizes.search_size)
        center = around[:2] + around[2:] / 2
        # from scene coordinates to fractions of the search crop
        box = np.concatenate([(second[:2] - (center - side / 2)) / side, second[2:] / side])
        return TrainingPair(template, search, box)

    def _sample_photo(self, rng: np.random.Generator) -> ImageArray:
        """Draw a photograph, at half size in 30 % of the cases."""
        sizes = self.photos[rng.integers(len(self.photos))]
        return np.asarray(sizes[int(rng.random() < 0.3)])

    def _sample_scene(self, rng: np.random.Generator) -> Scene:
        """Draw the background, the target and all other objects of a pair.

        At the first moment the target is at the origin, upright, with an area of 1.
        """
        photo = self._sample_photo(rng)
        height, width = photo.shape[:2]
        # sides a and 1 / a: area 1, any aspect ratio from 0.27 to 3.7
        aspect = math.exp(np.clip(rng.normal(0, 0.5), -1.3, 1.3))
        size = (math.sqrt(aspect), 1 / math.sqrt(aspect))
        # log-normal, so that growing and shrinking by the same factor are equally likely
        growth = math.exp(rng.normal(0, 0.18))
        stretch = math.exp(rng.normal(0, 0.08))
        grown = (size[0] * growth * stretch, size[1] * growth / stretch)
        pasted = rng.random() >= self.natural_fraction
        turn = rng.normal(0, self.turn_deviation if pasted else 0.05)
        # pixels of the photograph per unit of the scene; at most 0.3 of its side, so that the template crop fits in
        scale = math.exp(rng.uniform(math.log(16), math.log(0.3 * min(height, width))))
        spot = rng.uniform(0.15, 0.85, 2) * (width, height)
        grounds = [_make_background_transform(scale, spot, (0.0, 0.0), 0.0)]
        if not pasted:
            # the target is part of the photograph, so the entire background grows and rotates with it
            grounds.append(_make_background_transform(scale / growth, spot, (0.0, 0.0), turn))
            # labeled with its upright box at both moments: what a rotated region covers is not known
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
        # a slowly moving camera, or, in a fifth of the pairs, another part of the photograph
        drift = rng.normal(0, 0.7, 2) if rng.random() < 0.8 else rng.normal(0, 12, 2)
        grounds.append(
            _make_background_transform(
                scale / math.exp(rng.normal(0, 0.08)), spot, (drift[0], drift[1]), rng.normal(0, 0.03)
            )
        )
        # camouflage: in 30 % of the pairs the target is cut from the background photograph itself
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
        """Draw an object that moves next to the target; one in four has its shape and is cut from the same photograph.

        Args:
            rng: random generator.
            target: the target.
            size: width and height of the target at the first moment.
            final_size: width and height of the target at the second moment.
        """
        layer = sample_cutout(rng, self._sample_photo(rng), math.exp(rng.normal(0, 0.4)))
        if rng.random() < 0.25:
            # the same outline with another piece of the photograph: similar texture, but not the same object
            twin = sample_cutout(rng, target.cutout.photo, size[0] / size[1])
            layer = target.cutout._replace(photo_from_square=twin.photo_from_square)
        bulk = math.exp(rng.normal(0, 0.3))
        places = []
        for extent in (size, final_size):
            # 1 to 2.6 target sizes away, in a new direction at each moment
            away, angle = rng.uniform(1.0, 2.6), rng.uniform(0, 2 * math.pi)
            spot = (away * math.cos(angle) * max(1, extent[0]), away * math.sin(angle) * max(1, extent[1]))
            places.append(make_pose_matrix(spot, (extent[0] * bulk, extent[1] * bulk), rng.normal(0, 0.2)))
        return SceneObject(layer, (places[0], places[1]))

    def _sample_occluders(self, rng: np.random.Generator, size: tuple[float, float]) -> list[SceneObject]:
        """Draw an object that covers a part of the target at the second moment, in a quarter of the pairs.

        Args:
            rng: random generator.
            size: width and height of the target at the second moment.
        """
        if rng.random() > 0.25:
            return []
        layer = sample_cutout(rng, self._sample_photo(rng), math.exp(rng.normal(0, 0.6)))
        # its center is near the edge of the target, so a part of the target remains visible
        angle, away = rng.uniform(0, 2 * math.pi), rng.uniform(0.45, 0.8)
        spot = (away * math.cos(angle) * size[0], away * math.sin(angle) * size[1])
        bulk = rng.uniform(0.5, 1.0)
        # outside any crop at the first moment: the template shows the complete target
        far = make_pose_matrix((50.0, 50.0), size)
        return [SceneObject(layer, (far, make_pose_matrix(spot, (size[0] * bulk, size[1] * bulk), rng.normal(0, 0.3))))]

    def _render_crop(
        self, rng: np.random.Generator, scene: Scene, time_index: int, center_box: FloatArray, side: float, size: int
    ) -> ImageArray:
        """Render a square crop of the scene around the center of a box.

        Args:
            rng: random generator.
            scene: the scene.
            time_index: the moment, 0 or 1.
            center_box: the box, x, y, width, height in the scene.
            side: side length of the crop in the scene.
            size: side length of the crop in pixels.
        """
        center = center_box[:2] + center_box[2:] / 2
        window = make_view_matrix((center[0] - side / 2, center[1] - side / 2), side, size)
        picture = warp_image(
            scene.background, window @ scene.background_transforms[time_index], (size, size), cv2.BORDER_REFLECT_101
        )
        things = [*scene.distractors, *([scene.target] if scene.target else []), *scene.occluders]
        for thing in things:
            paint_cutout(picture, thing.cutout, window @ thing.poses[time_index])
        picture = distort_photometric(rng, picture)
        # after the photometric changes, since crops beyond the border of a real image are exactly black
        if scene.image_border is not None:
            axis, distance = scene.image_border
            # the position of the border in pixels of the crop; everything on the far side of it becomes black
            line = round(window[axis, axis] * distance + window[axis, 2])
            beyond = slice(max(line, 0), None) if distance > 0 else slice(0, max(line, 0))
            picture[(beyond, slice(None)) if axis else (slice(None), beyond)] = 0
        return picture


_UNIT_SQUARE = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64)


def _make_background_transform(
    scale: float, photo_point: FloatArray, scene_point: tuple[float, float], rotation: float
) -> AffineMatrix:
    """Return the affine map from a photograph to the scene.

    Args:
        scale: number of pixels of the photograph per unit of the scene.
        photo_point: x and y of a point in the photograph.
        scene_point: where this point is in the scene.
        rotation: angle in radians.

    Returns:
        Shape (3, 3).
    """
    c, s = math.cos(rotation) / scale, math.sin(rotation) / scale
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    matrix[:2, 2] = np.array(scene_point) - matrix[:2, :2] @ photo_point
    return matrix


def _sample_image_border(rng: np.random.Generator) -> tuple[int, float] | None:
    """Draw a border of the image near the target, in a tenth of the pairs: its axis and signed distance."""
    if rng.random() > 0.1:
        return None
    return int(rng.integers(2)), float(rng.choice([-1, 1]) * rng.uniform(0.4, 2.0))


def distort_photometric(rng: np.random.Generator, image: ImageArray) -> ImageArray:
    """Change light, contrast, color, sharpness, noise and compression of one crop at random.

    Args:
        rng: random generator.
        image: RGB, shape (height, width, 3).
    """
    values: NDArray[Any] = image.astype(np.float32)
    mean = float(values.mean())
    gain, lift = rng.uniform(0.75, 1.25), rng.uniform(-20, 20)
    # one factor per channel: a slight color cast
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
    # JPEG as the last step, because a camera compresses an image that has its blur and noise already
    if rng.random() < 0.2:
        _, coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return out


def _motion_blur_kernel(rng: np.random.Generator) -> FloatArray:
    """Return the kernel of a motion blur: a line of 3, 5 or 7 pixels in a random direction."""
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
