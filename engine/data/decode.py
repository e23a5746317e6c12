"""One image file to RGB pixels, without a silent mistake."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from foundation.errors import DataError

Image.MAX_IMAGE_PIXELS = 250_000_000  # the largest photograph of ImageNet has 50 million
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def open_rgb(path: Path) -> Image.Image:
    """The image in 8-bit RGB, as the usual loaders give it: transparency dropped, the EXIF orientation not applied.

    Grey, palette, CMYK and YCCK files are converted by PIL. 16-bit grey files are scaled (PIL alone would clip
    all above 255 to white).

    Raises:
        DataError: missing, cut short, or no image; names the file.
    """
    try:
        with Image.open(path) as image:
            image.load()
            if image.mode in _SIXTEEN_BIT_MODES:
                return _convert_sixteen_bit(image, path)
            if image.mode == "F":
                raise DataError(f"{path} holds floating-point pixels of unknown range; save it with 8 bits a channel")
            return image.convert("RGB")
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path} is missing; unpack the data set again") from None
    except UnidentifiedImageError:
        raise DataError(f"{path} is no image that can be read; fetch it again, or take it out of the set") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what PIL's decoders raise
        raise DataError(f"{path} cannot be decoded ({error}); fetch it again") from error


def _convert_sixteen_bit(image: Image.Image, path: Path) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"{path} has pixels from {values.min()} to {values.max()}, not 0 to 65535; save it with 8 bits")
    return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
