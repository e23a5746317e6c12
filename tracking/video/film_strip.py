"""Draw film strips: frames of a tracked sequence with the true and the predicted box, frame number and IoU."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from engine.pictures.layout import RgbColor, arrange_grid, draw_legend, draw_text_lines, stack_images
from foundation.errors import DataError
from tracking.data.boxes import FloatArray, has_area
from tracking.data.readers.sequence import Video
from tracking.scoring.metrics import compute_iou

# blue and orange of Okabe and Ito's palette, which people with any kind of color blindness tell apart
TRUTH_COLOR: RgbColor = (0, 114, 178)
PREDICTED_COLOR: RgbColor = (230, 120, 0)
FRAME_WIDTH = 240
"""Width of a drawn frame, pixels."""


def draw_film_strip(video: Video, boxes: FloatArray, num_frames: int = 8) -> Image.Image:
    """Draw evenly spaced frames, from the first to the last, in rows of four; only these frames are decoded.

    Args:
        video: the sequence.
        boxes: predicted x, y, width, height in pixels, shape (frames, 4).
        num_frames: number of frames in the picture.

    Raises:
        DataError: there are more or fewer boxes than frames, or a frame cannot be read.
    """
    if len(boxes) != len(video.frames):
        raise DataError(
            f"sequence {video.name} has {len(video.frames)} frames, but {len(boxes)} boxes were given to draw; give "
            "one box per frame"
        )
    # a set, because a sequence may have fewer frames than the strip
    numbers = sorted(set(np.linspace(0, len(boxes) - 1, num_frames).round().astype(int).tolist()))
    strip = arrange_grid([_draw_frame(video, boxes, number) for number in numbers], num_columns=4, gap=4)
    entries = [(TRUTH_COLOR, "true box"), (PREDICTED_COLOR, "predicted box")]
    return stack_images([draw_legend(entries, strip.width, is_outline=True), strip])


def _draw_frame(video: Video, boxes: FloatArray, number: int) -> Image.Image:
    frame = video.read_frame(number)
    height = round(frame.shape[0] * FRAME_WIDTH / frame.shape[1])
    # the frame is resized before the boxes are drawn, so that their lines are equally thick in every sequence
    picture = cv2.resize(frame, (FRAME_WIDTH, height), interpolation=cv2.INTER_AREA)
    scale = np.array([FRAME_WIDTH / frame.shape[1], height / frame.shape[0]] * 2)
    truth, predicted = video.boxes[number], boxes[number]
    # the true box of an absent target has no area, or is NaN
    is_present = bool(video.visible[number]) and bool(has_area(truth[None])[0])
    for box, color in ((truth, TRUTH_COLOR), (predicted, PREDICTED_COLOR)):
        if np.isfinite(box).all() and (is_present or color is PREDICTED_COLOR):
            x, y, w, h = (box * scale).round().astype(int).tolist()
            # white below the color, so that a box is visible on any background
            cv2.rectangle(picture, (x, y), (x + w, y + h), (255, 255, 255), 4)
            cv2.rectangle(picture, (x, y), (x + w, y + h), color, 2)
    text = f"IoU {compute_iou(predicted[None], truth[None])[0]:.2f}" if is_present else "target absent"
    caption = draw_text_lines([f"frame {number + 1}: {text}"], FRAME_WIDTH)
    return stack_images([Image.fromarray(picture), caption])
