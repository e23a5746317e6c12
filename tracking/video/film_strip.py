"""Draw film strips: several frames of a tracked sequence side by side, with the true and the predicted box."""

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
    """Write evenly spaced frames to a PNG, with the true box in green and the predicted box in red.

    Args:
        video: the sequence.
        boxes: predicted x, y, width, height in pixels, shape (frames, 4).
        path: the picture to write.
        num_frames: number of frames in the picture.
        height: height of the picture in pixels.

    Raises:
        DataError: there are more or fewer boxes than frames, or a frame cannot be read.
    """
    if len(boxes) != len(video.frames):
        raise DataError(
            f"sequence {video.name} has {len(video.frames)} frames, but {len(boxes)} boxes were given to draw; give "
            "one box per frame"
        )
    shown = []
    for number in np.linspace(0, len(boxes) - 1, num_frames).round().astype(int).tolist():
        frame = np.ascontiguousarray(video.read_frame(number)[..., ::-1])
        for box, color in ((video.boxes[number], TRUTH_COLOR), (boxes[number], PREDICTED_COLOR)):
            # the true box of an absent target can be NaN
            if np.isfinite(box).all():
                x, y, w, h = box.round().astype(int).tolist()
                cv2.rectangle(frame, (x, y), (x + w, y + h), color, 2)
        width = round(frame.shape[1] * height / frame.shape[0])
        shown.append(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))
    _, coded = cv2.imencode(".png", np.hstack(shown))
    write_atomic(path, coded.tobytes())
