"""Choosing a box with the mouse: what the window is asked for, and where a drawn box lies in the frame."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from foundation.errors import UserError
from tracking.video import select_box as select_module
from tracking.video.select_box import (
    MouseDrag,
    WindowBox,
    compute_window_scale,
    convert_window_box,
    draw_in_window,
    find_screen_size,
    select_box,
)

DOWN, MOVE, UP = cv2.EVENT_LBUTTONDOWN, cv2.EVENT_MOUSEMOVE, cv2.EVENT_LBUTTONUP
ENTER, ESCAPE, NO_KEY = 13, 27, -1


def test_a_frame_fits_on_the_screen_and_a_small_one_is_enlarged() -> None:
    for frame in ((3840, 2160), (1080, 1920), (1920, 1080), (64, 48), (4000, 30)):
        scale = compute_window_scale(frame, (1600, 900))
        assert frame[0] * scale <= 0.95 * 1600 + 1e-6 and frame[1] * scale <= 0.85 * 900 + 1e-6
    assert compute_window_scale((1280, 720), (1600, 900)) == 1
    assert compute_window_scale((64, 48), (1600, 900)) == 10


def test_a_drawn_box_in_pixels_of_the_frame() -> None:
    assert convert_window_box(WindowBox(10, 20, 30, 40), (960, 540), (1920, 1080)).tolist() == [20, 40, 60, 80]
    assert convert_window_box(WindowBox(0, 0, 640, 480), (640, 480), (64, 48)).tolist() == [0, 0, 64, 48]
    # a box over the border is cut there, and a side that is not a whole factor keeps hundredths
    assert convert_window_box(WindowBox(630, 470, 50, 50), (640, 480), (64, 48)).tolist() == [63, 47, 1, 1]
    assert convert_window_box(WindowBox(1, 1, 1, 1), (300, 300), (1000, 1000)).tolist() == [3.33, 3.33, 3.34, 3.34]


def test_the_same_place_of_the_picture_is_chosen_at_any_scale() -> None:
    """The target is a white rectangle; the user draws around what the window shows."""
    for size, screen in (((480, 640), (1600, 900)), ((48, 64), (1600, 900)), ((2160, 3840), (1280, 720))):
        frame = np.zeros((*size, 3), np.uint8)
        y, x, h, w = (int(share * side) for share, side in zip((0.25, 0.5, 0.25, 0.125), size * 2, strict=True))
        frame[y : y + h, x : x + w] = (255, 0, 0)

        def draw(picture: np.ndarray, title: str) -> WindowBox:
            rows, columns = np.nonzero(picture[..., 2] > 128)  # BGR, so red is last
            left, top = int(columns.min()), int(rows.min())
            return WindowBox(left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1)

        found = select_box(frame, "", screen, [], draw)
        assert np.abs(found - [x, y, w, h]).max() <= size[1] / 640 * 2, found


def test_earlier_targets_are_shown_and_cancelling_is_a_sentence() -> None:
    seen: list[np.ndarray] = []

    def cancel(picture: np.ndarray, title: str) -> None:
        seen.append(picture)

    frame = np.zeros((48, 64, 3), np.uint8)
    for earlier in ([], [np.array([10.0, 10.0, 20.0, 20.0])]):
        with pytest.raises(UserError, match="no box was chosen, so nothing is tracked; start again"):
            select_box(frame, "title", (1600, 900), earlier, cancel)
    assert not seen[0].any() and seen[1][100, 100:300].all() and frame.sum() == 0


def test_a_drag_in_any_direction_and_beyond_the_picture() -> None:
    drag = MouseDrag((100, 80))
    assert drag.box is None
    for event, x, y in ((MOVE, 5, 5), (DOWN, 50, 40), (MOVE, 45, 30), (UP, 20, 10), (MOVE, 90, 70)):
        drag.handle_event(event, x, y, 0, None)
    assert drag.box == (20, 10, 31, 31), "what the mouse does after the button is up does not count"
    for event, x, y in ((DOWN, 90, 70), (UP, 500, -3)):
        drag.handle_event(event, x, y)
    assert drag.box == (90, 0, 10, 71)
    for event, x, y in ((DOWN, 30, 30), (UP, 31, 30)):
        drag.handle_event(event, x, y)
    assert drag.box is None, "a click is no box"


class Window:
    """OpenCV's window with a user who acts once per call of ``waitKey``: mouse events, then a key."""

    def __init__(self, actions: list[tuple[list[tuple[int, int, int]], int]], closed_after: int = 99) -> None:
        self.actions, self.closed_after = actions, closed_after
        self.callback: Callable[..., None] | None = None
        self.shown: list[np.ndarray] = []
        self.is_destroyed = self.raises = False

    def wait(self, _: int) -> int:
        assert self.callback is not None and self.shown
        events, key = self.actions[len(self.shown) - 1]
        for event in events:
            self.callback(*event, 0, None)
        return key

    def find_property(self, *_: object) -> float:
        if len(self.shown) > self.closed_after and self.raises:
            raise cv2.error("NULL guiReceiver")  # as Qt does where the last window was closed
        return float(len(self.shown) <= self.closed_after)

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> Window:
        def destroy() -> None:
            self.is_destroyed = True

        def set_callback(_: str, callback: Callable[..., None]) -> None:
            self.callback = callback

        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "setMouseCallback", set_callback)
        monkeypatch.setattr(cv2, "imshow", lambda _, picture: self.shown.append(picture))
        monkeypatch.setattr(cv2, "waitKey", self.wait)
        monkeypatch.setattr(cv2, "getWindowProperty", self.find_property)
        monkeypatch.setattr(cv2, "destroyAllWindows", destroy)
        return self


DRAG = [(DOWN, 10, 10), (UP, 29, 19)]


@pytest.mark.parametrize(
    ("actions", "closed_after", "expected"),
    [
        ([(DRAG, NO_KEY), ([], ENTER)], 99, (10, 10, 20, 10)),
        ([([], ENTER), (DRAG, ord(" "))], 99, (10, 10, 20, 10)),  # Enter without a box waits for one
        ([(DRAG, NO_KEY), ([], ESCAPE)], 99, None),
        ([([], ord("c"))], 99, None),
        ([(DRAG, NO_KEY), ([], NO_KEY)], 1, None),  # the user closed the window
    ],
)
def test_keys_of_the_window(
    actions: list[Any], closed_after: int, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = Window(actions, closed_after).patch(monkeypatch)
    picture = np.full((60, 80, 3), 7, np.uint8)
    assert draw_in_window(picture, "title") == expected
    assert window.is_destroyed and (picture == 7).all()
    if len(window.shown) > 1 and DRAG in [events for events, _ in actions[:1]]:
        assert (window.shown[1][10, 10:30] != 7).any(), "the box is drawn while the user looks"


def test_a_window_that_is_gone_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window([(DRAG, NO_KEY), ([], NO_KEY)], closed_after=1).patch(monkeypatch)
    window.raises = True
    assert draw_in_window(np.zeros((60, 80, 3), np.uint8), "title") is None and window.is_destroyed


def test_ctrl_c_while_choosing_closes_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    window = Window([]).patch(monkeypatch)

    def interrupt(_: int) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cv2, "waitKey", interrupt)
    with pytest.raises(KeyboardInterrupt):
        draw_in_window(np.zeros((60, 80, 3), np.uint8), "title")
    assert window.is_destroyed


def test_without_a_display_the_other_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe is a process of its own, as OpenCV aborts where there is no display."""

    def probe(code: int, said: str) -> None:
        monkeypatch.setattr(
            select_module.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=code, stdout=said)
        )

    for code in (-6, 1):
        probe(code, "")
        with pytest.raises(UserError, match="--init select needs a window, and none can be opened here"):
            find_screen_size()
    probe(0, "some words of Qt\n1600 900\n")
    assert find_screen_size() == (1600, 900)
    probe(0, "words of Qt")
    assert find_screen_size() == select_module.DEFAULT_SCREEN
    probe(0, "")
    assert find_screen_size() == select_module.DEFAULT_SCREEN

    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("probe", 1)

    monkeypatch.setattr(select_module.subprocess, "run", hang)
    with pytest.raises(UserError, match="needs a window"):
        find_screen_size()


def test_the_probe_itself_finds_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only the sentence: the text of the probe runs, and fails where a display cannot be there."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.setenv(name, "nowhere:77")
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    if not cv2.getBuildInformation().count("QT5"):
        pytest.skip("this OpenCV opens its windows without an X server")
    with pytest.raises(UserError, match="needs a window"):
        find_screen_size()
