"""Picture strips: some frames of a tracked sequence side by side, with the truth and the predicted box."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from foundation.errors import DataError
from foundation.files import write_atomic
from tracking.data.boxes import FloatArray
from tracking.data.readers.sequence import Video

TRUTH_COLOR, PREDICTED_COLOR = (0, 200, 0), (0, 0, 255)  # green and red, BGR


def write_film_strip(video: Video, boxes: FloatArray, path: Path, num_frames: int = 8, height: int = 180) -> None:
    """Write ``num_frames`` evenly spaced frames to a PNG; the truth in green, ``boxes`` in red.

    Args:
        video: the sequence.
        boxes: (frames, 4), predicted.
        path: the picture.
        num_frames: frames shown.
        height: of the picture, pixels.

    Raises:
        DataError: another number of boxes than frames, or an unreadable frame.
    """
    if len(boxes) != len(video.frames):
        raise DataError(
            f"sequence {video.name} has {len(video.frames)} frames, but {len(boxes)} boxes were given to draw"
        )
    shown = []
    for number in np.linspace(0, len(boxes) - 1, num_frames).round().astype(int).tolist():
        frame = np.ascontiguousarray(video.read_frame(number)[..., ::-1])
        for box, colour in ((video.boxes[number], TRUTH_COLOR), (boxes[number], PREDICTED_COLOR)):
            if np.isfinite(box).all():
                x, y, w, h = box.round().astype(int).tolist()
                cv2.rectangle(frame, (x, y), (x + w, y + h), colour, 2)
        width = round(frame.shape[1] * height / frame.shape[0])
        shown.append(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))
    _, coded = cv2.imencode(".png", np.hstack(shown))
    write_atomic(path, coded.tobytes())
