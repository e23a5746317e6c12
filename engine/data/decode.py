"""Decode an image file to RGB pixels; anything that would silently give wrong pixels is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from foundation.errors import DataError

Image.MAX_IMAGE_PIXELS = 250_000_000  # the largest photograph of ImageNet has 50 million
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def open_rgb(path: Path) -> Image.Image:
    """Decode an image to 8-bit RGB like the usual loaders: drop transparency, do not apply the EXIF orientation.

    PIL converts gray, palette, CMYK and YCCK files. 16-bit gray files are scaled to 8 bits (PIL alone would clip all
    values above 255 to white).

    Args:
        path: the image file.

    Raises:
        DataError: the file is missing, truncated or not an image; names the file.
    """
    try:
        with Image.open(path) as image:
            image.load()  # PIL opens lazily; this decodes, so that a truncated file fails here
            if image.mode in _SIXTEEN_BIT_MODES:
                return _convert_sixteen_bit(image, path)
            if image.mode == "F":
                raise DataError(f"{path} holds floating-point pixels of unknown range; save it with 8 bits per channel")
            return image.convert("RGB")
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} is missing; unpack the data set again") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is not a readable image; download it again, or remove it from the set") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # raised by PIL's decoders
        raise DataError(f"{path} cannot be decoded ({error}); download it again") from error


def _convert_sixteen_bit(image: Image.Image, path: Path) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path} has pixels from {values.min()} to {values.max()}, not 0 to 65535; save it with 8 bits")
    # 257 = 65535 / 255 maps 65535 to 255
    return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
