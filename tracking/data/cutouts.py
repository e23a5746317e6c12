"""Scenes of cut-out photographs: layers with a shape and a pose, seen through a window.

Coordinates are continuous (a pixel covers [i, i + 1)); a layer's own run over the square [-1, 1] x [-1, 1].
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from tracking.data.boxes import FloatArray
from tracking.data.crops import ImageArray

AffineMatrix = NDArray[np.float64]
MASK_SIZE = 96
"""Side of a layer's mask, pixels."""


class Cutout(NamedTuple):
    """A piece of a photograph.

    Attributes:
        photo: (height, width, 3).
        photo_from_square: 3x3, from the layer's square to pixels of the photograph.
        outline: (K, 2) in the square; touches all four sides of it.
        mask: (MASK, MASK) opacity over the square, 0..255.
    """

    photo: ImageArray
    photo_from_square: AffineMatrix
    outline: FloatArray
    mask: NDArray[np.uint8]


def sample_outline(rng: np.random.Generator, num_points: int = 72) -> FloatArray:
    """A random closed shape that touches all sides of the square: box-like, elliptic or lumpy."""
    angle = np.linspace(0, 2 * np.pi, num_points, endpoint=False)
    power = 2.0 / rng.choice([2.0, 2.0, 3.0, 5.0, 12.0])
    shape = np.stack([np.sign(f) * np.abs(f) ** power for f in (np.cos(angle), np.sin(angle))], 1)
    if rng.random() < 0.5:
        waves = [rng.normal(0, 0.25 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 4, 5)]
        shape *= np.clip(1 + np.sum(waves, 0), 0.35, None)[:, None]
    low, high = shape.min(0), shape.max(0)
    return np.asarray((shape - (low + high) / 2) / ((high - low) / 2), np.float64)


def sample_cutout(rng: np.random.Generator, photo: ImageArray, aspect_ratio: float, edge_blur: float = 0.0) -> Cutout:
    """A random piece of a photograph, 24 to 220 px wide and high, as a random shape.

    Args:
        rng: draws piece and shape.
        photo: the photograph.
        aspect_ratio: width / height of the piece.
        edge_blur: how far the edge is blurred, as a share of the layer's half side.
    """
    height, width = photo.shape[:2]
    side = math.exp(rng.uniform(math.log(32), math.log(min(200, 0.6 * min(height, width)))))
    half = 0.5 * np.clip(
        [side * math.sqrt(aspect_ratio), side / math.sqrt(aspect_ratio)], 24, [0.9 * width, 0.9 * height]
    )
    centre = rng.uniform(half, np.array([width, height]) - half)
    source = np.array([[half[0], 0, centre[0]], [0, half[1], centre[1]], [0, 0, 1.0]])
    if rng.random() < 0.5:
        source[0, 0] *= -1
    outline = sample_outline(rng)
    mask = np.zeros((MASK_SIZE, MASK_SIZE), np.uint8)
    corners = np.round(((outline + 1) * MASK_SIZE / 2 - 0.5) * 256).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 8)
    if edge_blur > 0:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), edge_blur * MASK_SIZE / 2), np.uint8)
    return Cutout(photo, source, outline, mask)


def make_pose_matrix(
    center: tuple[float, float], size: tuple[float, float], rotation: float = 0.0, shear: float = 0.0
) -> AffineMatrix:
    """3x3 from a layer's square to the scene: sheared, scaled to ``size`` (w, h), turned by ``rotation`` rad, moved."""
    c, s = math.cos(rotation), math.sin(rotation)
    stretch = np.array([[size[0] / 2, shear * size[0] / 2], [0, size[1] / 2]])
    matrix = np.eye(3)
    matrix[:2, :2] = np.array([[c, -s], [s, c]]) @ stretch
    matrix[:2, 2] = center
    return matrix


def make_view_matrix(corner: tuple[float, float], window_side: float, output_size: int) -> AffineMatrix:
    """3x3 from the scene to the pixels of a square window of ``window_side``, shown with ``output_size`` pixels."""
    scale = output_size / window_side
    return np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale], [0, 0, 1.0]])


def outline_to_box(outline: FloatArray, pose: AffineMatrix) -> FloatArray:
    """The box x, y, w, h of a shape under a 3x3 map."""
    points = outline @ pose[:2, :2].T + pose[:2, 2]
    low, high = points.min(0), points.max(0)
    return np.asarray([*low, *(high - low)], np.float64)


def warp_image(image: NDArray[Any], matrix: AffineMatrix, size: tuple[int, int], border_mode: int) -> NDArray[Any]:
    """An image under a 3x3 affine map of continuous coordinates; ``size`` is (width, height)."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    indices = np.linalg.inv(half) @ matrix @ half  # OpenCV counts from pixel centres
    return np.asarray(cv2.warpAffine(image, indices[:2], size, flags=cv2.INTER_LINEAR, borderMode=border_mode))


def render_opacity(cutout: Cutout, pose: AffineMatrix, size: tuple[int, int]) -> NDArray[np.uint8]:
    """How much of each pixel a layer covers, 0..255: (height, width)."""
    to_mask = np.array([[2 / MASK_SIZE, 0, -1], [0, 2 / MASK_SIZE, -1], [0, 0, 1.0]])
    return warp_image(cutout.mask, pose @ to_mask, size, cv2.BORDER_CONSTANT)


def paint_cutout(canvas: ImageArray, cutout: Cutout, pose: AffineMatrix) -> None:
    """Draw a layer over a canvas, in place.

    Args:
        canvas: (height, width, 3).
        cutout: the cut-out.
        pose: 3x3 from its square to the canvas.
    """
    height, width = canvas.shape[:2]
    x, y, w, h = outline_to_box(cutout.outline * 1.1, pose)
    left, top = max(0, math.floor(x)), max(0, math.floor(y))
    right, bottom = min(width, math.ceil(x + w)), min(height, math.ceil(y + h))
    if right <= left or bottom <= top:
        return
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    size = (right - left, bottom - top)
    colours = warp_image(
        cutout.photo, shift @ pose @ np.linalg.inv(cutout.photo_from_square), size, cv2.BORDER_REFLECT_101
    )
    cover = render_opacity(cutout, shift @ pose, size)[..., None].astype(np.float32) / 255
    under = canvas[top:bottom, left:right]
    under[:] = (under + (colours.astype(np.float32) - under) * cover + 0.5).astype(np.uint8)
