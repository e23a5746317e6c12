"""Write images with OpenCV's encoders; OpenCV's own function says nothing when the disk is full."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from foundation.errors import BenchError
from foundation.storage.write_faults import name_write_faults


def write_image(path: Path, image: Any, parameters: Sequence[int] = ()) -> None:
    """Write an image with the bytes that ``cv2.imwrite`` would write.

    Args:
        path: the file; its suffix chooses the encoder.
        image: BGR (height, width, 3) or gray values (height, width).
        parameters: as ``cv2.imwrite`` takes them, for example the quality of a JPEG.

    Raises:
        StorageError: the file cannot be written.
        BenchError: this OpenCV has no encoder for it.
    """
    is_encoded, content = cv2.imencode(path.suffix, image, list(parameters))
    if not is_encoded:
        raise BenchError(f"this OpenCV cannot write {path.suffix} files; install opencv-python again")
    with name_write_faults(path):
        path.write_bytes(content.tobytes())
