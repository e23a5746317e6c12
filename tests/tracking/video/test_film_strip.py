"""Film strips: both boxes, only the frames that are drawn, and what stands below them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from foundation.errors import DataError
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.readers import lasot
from tracking.data.readers.sequence import Video
from tracking.video.film_strip import PREDICTED_COLOR, TRUTH_COLOR, draw_film_strip


@pytest.fixture(scope="module")
def video() -> Video:
    return lasot.read_test_videos(ensure_mini_lasot())[0]


def has_color(picture: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((picture == color).all(2).any())


def test_a_strip_shows_both_boxes_in_every_frame(video: Video) -> None:
    strip = np.asarray(draw_film_strip(video, video.boxes + np.array([0.0, 20.0, 0.0, 0.0]), num_frames=4))
    assert strip.shape[1] == 4 * 240 + 3 * 4
    for place in range(4):
        frame = strip[30:, place * 244 : place * 244 + 240]
        assert has_color(frame, TRUTH_COLOR)
        assert has_color(frame, PREDICTED_COLOR)


def test_an_absent_target_has_no_true_box(video: Video) -> None:
    hidden = replace(video, visible=np.zeros(len(video.frames), bool))
    strip = np.asarray(draw_film_strip(hidden, video.boxes, num_frames=4))[30:]
    assert not has_color(strip, TRUTH_COLOR)
    assert has_color(strip, PREDICTED_COLOR)


def test_only_the_drawn_frames_are_decoded(video: Video) -> None:
    frames = [frame if number in (0, 24, 47) else Path("not there") for number, frame in enumerate(video.frames)]
    assert len(frames) == 48
    draw_film_strip(replace(video, frames=frames), video.boxes, num_frames=3)
    with pytest.raises(DataError, match="is missing"):
        draw_film_strip(replace(video, frames=frames), video.boxes, num_frames=4)


def test_a_short_sequence_shows_each_frame_once(video: Video) -> None:
    short = replace(video, frames=video.frames[:2], boxes=video.boxes[:2], visible=video.visible[:2])
    assert draw_film_strip(short, short.boxes).width == 2 * 240 + 4


def test_boxes_of_another_sequence_are_refused(video: Video) -> None:
    with pytest.raises(DataError, match="3 boxes were given to draw"):
        draw_film_strip(video, video.boxes[:3])
