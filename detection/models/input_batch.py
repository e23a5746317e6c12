"""The square batch that the network reads."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from foundation.errors import DataError


def make_square_batch(images: Sequence[Tensor], size: int, mean: Tensor, std: Tensor) -> Tensor:
    """Normalize images and pad them to a square at the right and at the bottom.

    The padding is zero after normalization, which is the mean color, as in detectron2.

    Args:
        images: uint8 RGB pixels, each (3, height, width), no side longer than ``size``.
        size: side of the square in pixels.
        mean: mean of each channel for pixels from 0 to 1, with three elements; its type is that of the result.
        std: standard deviation of each channel, likewise.

    Returns:
        Shape (images, 3, size, size).

    Raises:
        DataError: an image is larger than the square.
    """
    # what is not filled below stays 0
    batch = mean.new_zeros(len(images), 3, size, size)
    for row, image in zip(batch, images, strict=True):
        height, width = image.shape[1:]
        if height > size or width > size:
            raise DataError(
                f"an image of {height} x {width} px does not fit into the square of {size} px that the detector reads; "
                "resize it before (detection.data does), or set a larger size"
            )
        # the bytes are moved to the device, not the floats: a quarter of the transfer
        pixels = image.to(device=mean.device, dtype=mean.dtype) / 255
        row[:, :height, :width] = (pixels - mean.view(3, 1, 1)) / std.view(3, 1, 1)
    return batch
