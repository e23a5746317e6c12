"""Compose scenes from cut-out pieces of photographs, each with a shape and a pose.

Coordinates are continuous: pixel i covers the interval [i, i + 1). The coordinates of a cut-out cover the square
[-1, 1] x [-1, 1].
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
"""Side length of a cut-out's mask in pixels."""


class Cutout(NamedTuple):
    """A piece of a photograph.

    Attributes:
        photo: the photograph, RGB, shape (height, width, 3).
        photo_from_square: affine map from the cut-out's square to pixels of the photograph, shape (3, 3).
        outline: points of the outline in the square, shape (points, 2); it touches all four sides of the square.
        mask: opacity over the square, from 0 to 255, shape (MASK_SIZE, MASK_SIZE).
    """

    photo: ImageArray
    photo_from_square: AffineMatrix
    outline: FloatArray
    mask: NDArray[np.uint8]


def sample_outline(rng: np.random.Generator, num_points: int = 72) -> FloatArray:
    """Draw a random closed shape that touches all sides of the square: box-like, elliptic or irregular.

    Args:
        rng: random generator.
        num_points: number of points of the outline.

    Returns:
        Points in [-1, 1] x [-1, 1], shape (num_points, 2).
    """
    angle = np.linspace(0, 2 * np.pi, num_points, endpoint=False)
    # a superellipse |x|^n + |y|^n = 1: n = 2 is an ellipse, n = 12 almost a rectangle
    power = 2.0 / rng.choice([2.0, 2.0, 3.0, 5.0, 12.0])
    shape = np.stack([np.sign(f) * np.abs(f) ** power for f in (np.cos(angle), np.sin(angle))], 1)
    if rng.random() < 0.5:
        # low frequencies with falling amplitude make the radius irregular; the clip keeps it from crossing the center
        waves = [rng.normal(0, 0.25 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (2, 3, 4, 5)]
        shape *= np.clip(1 + np.sum(waves, 0), 0.35, None)[:, None]
    low, high = shape.min(0), shape.max(0)
    # stretched to fill the square, so that the size of a pose is the size of the box
    return np.asarray((shape - (low + high) / 2) / ((high - low) / 2), np.float64)


def sample_cutout(rng: np.random.Generator, photo: ImageArray, aspect_ratio: float, edge_blur: float = 0.0) -> Cutout:
    """Cut a random piece, 24 to 220 px wide and high, out of a photograph in a random shape.

    Args:
        rng: random generator.
        photo: the photograph, RGB, shape (height, width, 3).
        aspect_ratio: width / height of the piece.
        edge_blur: standard deviation of the blur of the edge, as a fraction of half the square's side.
    """
    height, width = photo.shape[:2]
    # uniform in the logarithm, so that small and large pieces are equally frequent
    side = math.exp(rng.uniform(math.log(32), math.log(min(200, 0.6 * min(height, width)))))
    half = 0.5 * np.clip(
        [side * math.sqrt(aspect_ratio), side / math.sqrt(aspect_ratio)], 24, [0.9 * width, 0.9 * height]
    )
    piece_center = rng.uniform(half, np.array([width, height]) - half)
    source = np.array([[half[0], 0, piece_center[0]], [0, half[1], piece_center[1]], [0, 0, 1.0]])
    # mirrored from left to right
    if rng.random() < 0.5:
        source[0, 0] *= -1
    outline = sample_outline(rng)
    mask = np.zeros((MASK_SIZE, MASK_SIZE), np.uint8)
    # fixed-point coordinates with 8 fractional bits; minus 0.5, because OpenCV counts from the centers of pixels
    corners = np.round(((outline + 1) * MASK_SIZE / 2 - 0.5) * 256).astype(np.int32)
    cv2.fillPoly(mask, [corners], 255, cv2.LINE_AA, 8)
    if edge_blur > 0:
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), edge_blur * MASK_SIZE / 2), np.uint8)
    return Cutout(photo, source, outline, mask)


def make_pose_matrix(
    center: tuple[float, float], size: tuple[float, float], rotation: float = 0.0, shear: float = 0.0
) -> AffineMatrix:
    """Return the affine map from a cut-out's square to the scene: shear, scale, rotate, then move.

    Args:
        center: x and y of the cut-out's center in the scene.
        size: width and height in the scene.
        rotation: angle in radians.
        shear: horizontal shear, as a fraction of the height.

    Returns:
        Shape (3, 3).
    """
    c, s = math.cos(rotation), math.sin(rotation)
    stretch = np.array([[size[0] / 2, shear * size[0] / 2], [0, size[1] / 2]])
    matrix = np.eye(3)
    matrix[:2, :2] = np.array([[c, -s], [s, c]]) @ stretch
    matrix[:2, 2] = center
    return matrix


def make_view_matrix(corner: tuple[float, float], window_side: float, output_size: int) -> AffineMatrix:
    """Return the affine map from the scene to the pixels of a square crop.

    Args:
        corner: x and y of the crop's top-left corner in the scene.
        window_side: side length of the crop in the scene.
        output_size: side length of the crop in pixels.

    Returns:
        Shape (3, 3).
    """
    scale = output_size / window_side
    return np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale], [0, 0, 1.0]])


def outline_to_box(outline: FloatArray, pose: AffineMatrix) -> FloatArray:
    """Return the bounding box of an outline after an affine map.

    Args:
        outline: points, shape (points, 2).
        pose: affine map, shape (3, 3).

    Returns:
        x, y, width, height, shape (4,).
    """
    points = outline @ pose[:2, :2].T + pose[:2, 2]
    low, high = points.min(0), points.max(0)
    return np.asarray([*low, *(high - low)], np.float64)


def warp_image(image: NDArray[Any], matrix: AffineMatrix, size: tuple[int, int], border_mode: int) -> NDArray[Any]:
    """Apply an affine map of continuous coordinates to an image, with bilinear interpolation.

    Args:
        image: shape (height, width) or (height, width, channels).
        matrix: affine map from the image to the output, shape (3, 3).
        size: width and height of the output in pixels.
        border_mode: OpenCV's constant for pixels outside the image.
    """
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    # OpenCV's coordinate i is the center of pixel i, which is i + 0.5 here: shift, map, and shift back
    indices = np.linalg.inv(half) @ matrix @ half
    return np.asarray(cv2.warpAffine(image, indices[:2], size, flags=cv2.INTER_LINEAR, borderMode=border_mode))


def render_opacity(cutout: Cutout, pose: AffineMatrix, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return how much of each pixel a cut-out covers, from 0 to 255.

    Args:
        cutout: the cut-out.
        pose: affine map from its square to the output, shape (3, 3).
        size: width and height of the output in pixels.

    Returns:
        Shape (height, width).
    """
    # from pixels of the mask, 0..MASK_SIZE, to the square, -1..1
    to_mask = np.array([[2 / MASK_SIZE, 0, -1], [0, 2 / MASK_SIZE, -1], [0, 0, 1.0]])
    return warp_image(cutout.mask, pose @ to_mask, size, cv2.BORDER_CONSTANT)


def paint_cutout(canvas: ImageArray, cutout: Cutout, pose: AffineMatrix) -> None:
    """Draw a cut-out over a canvas, in place.

    Args:
        canvas: shape (height, width, 3).
        cutout: the cut-out.
        pose: affine map from its square to the canvas, shape (3, 3).
    """
    height, width = canvas.shape[:2]
    # only the part of the canvas that the cut-out can reach; 10 % more for its blurred edge
    x, y, w, h = outline_to_box(cutout.outline * 1.1, pose)
    left, top = max(0, math.floor(x)), max(0, math.floor(y))
    right, bottom = min(width, math.ceil(x + w)), min(height, math.ceil(y + h))
    if right <= left or bottom <= top:
        return
    shift = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1.0]])
    size = (right - left, bottom - top)
    # photograph -> square -> canvas -> part of the canvas
    colors = warp_image(
        cutout.photo, shift @ pose @ np.linalg.inv(cutout.photo_from_square), size, cv2.BORDER_REFLECT_101
    )
    cover = render_opacity(cutout, shift @ pose, size)[..., None].astype(np.float32) / 255
    # a view, so that the assignment changes the canvas: under (1 - cover) + color cover, rounded
    under = canvas[top:bottom, left:right]
    under[:] = (under + (colors.astype(np.float32) - under) * cover + 0.5).astype(np.uint8)
