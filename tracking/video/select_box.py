"""Choose the box of a target with the mouse, in a window with the first frame.

OpenCV has ``selectROI`` for this. Its window cannot be used here: Escape accepts the box, a closed window never
returns, and Ctrl-C is not noticed (tried with OpenCV 5.0).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np

from foundation.errors import UserError
from tracking.data.boxes import FloatArray
from tracking.data.crops import ImageArray

ACCEPT_KEYS, CANCEL_KEYS = (13, 10, 32), (27, ord("c"), ord("q"))  # Enter and space; Escape, c and q
LEAST_DRAG = 3
"""Smallest side of a drawn box in pixels of the window: anything smaller is a click."""
LEAST_WIDTH = 640
"""A smaller frame is enlarged to this width, if the screen has room: a target of ten pixels is hard to hit."""
DEFAULT_SCREEN = (1280, 720)
"""Assumed where the size of the screen is not known; every screen of today is as large."""
_SCREEN_SHARE = (0.95, 0.85)  # of width and height; the rest is for borders, title and task bar
_PROBE = """
import sys
sys.path.remove("")
import cv2
cv2.namedWindow("bench")
cv2.destroyAllWindows()
try:
    import tkinter
    root = tkinter.Tk()
    print(root.winfo_screenwidth(), root.winfo_screenheight())
except Exception:
    pass
"""
_PROBE_SECONDS = 60
COLOR, DONE_COLOR, EDGE_COLOR = (0, 220, 255), (200, 200, 200), (0, 0, 0)  # BGR


class WindowBox(NamedTuple):
    """A box that was drawn: x, y, width and height in pixels of the window."""

    x: int
    y: int
    width: int
    height: int


DrawFunction = Callable[[ImageArray, str], "WindowBox | None"]
"""Shows a BGR picture in a window with a title, and returns the box that was drawn; ``None`` if the user cancelled."""


def find_screen_size() -> tuple[int, int]:
    """Check that windows can be opened here, and return width and height of the screen in pixels.

    Raises:
        UserError: there is no display, or this OpenCV was built without windows.
    """
    # in a process of its own: where there is no display, OpenCV's window system ends the process
    try:
        probe = subprocess.run(  # noqa: S603 - fixed arguments
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        probe = None
    if probe is None or probe.returncode != 0:
        raise UserError(
            "--init select needs a window, and none can be opened here (no display, or OpenCV without windows); give "
            "the box with --init x,y,w,h: left and top edge, width and height in pixels (any image viewer shows them)"
        )
    # the last words, as libraries may print something before them; without tkinter there are none
    words = probe.stdout.split()[-2:]
    return (int(words[0]), int(words[1])) if len(words) == 2 and all(map(str.isdecimal, words)) else DEFAULT_SCREEN


def compute_window_scale(frame_size: tuple[int, int], screen_size: tuple[int, int]) -> float:
    """Return the factor by which a frame is scaled so that it fits on the screen; a small frame is enlarged.

    Args:
        frame_size: width and height of the frame in pixels.
        screen_size: width and height of the screen in pixels.
    """
    fitting = min(
        share * screen / side for share, screen, side in zip(_SCREEN_SHARE, screen_size, frame_size, strict=True)
    )
    return min(fitting, max(1.0, LEAST_WIDTH / frame_size[0]))


def convert_window_box(box: WindowBox, window_size: tuple[int, int], frame_size: tuple[int, int]) -> FloatArray:
    """Return a drawn box in pixels of the frame, cut at its borders, to a hundredth of a pixel.

    Args:
        box: the box in pixels of the window.
        window_size: width and height of the picture in the window.
        frame_size: width and height of the frame.

    Returns:
        x, y, width, height, shape (4,).
    """
    # per axis: the window has whole pixels, so that its two factors differ a little
    scale = np.array(frame_size, np.float64) / window_size
    corners = np.array([[box.x, box.y], [box.x + box.width, box.y + box.height]], np.float64)
    first, last = np.clip(corners * scale, 0, frame_size).round(2)
    return np.concatenate([first, (last - first).round(2)])


def select_box(
    frame: ImageArray,
    title: str,
    screen_size: tuple[int, int],
    earlier_boxes: list[FloatArray],
    draw: DrawFunction | None = None,
) -> FloatArray:
    """Let the user draw a box on a frame.

    Args:
        frame: RGB, shape (height, width, 3).
        title: title of the window.
        screen_size: width and height of the screen in pixels.
        earlier_boxes: boxes of other targets, which are shown: x, y, width, height in pixels of the frame.
        draw: opens the window; default: ``draw_in_window``.

    Returns:
        x, y, width, height in pixels of the frame, shape (4,).

    Raises:
        UserError: the user cancelled.
    """
    frame_size = (frame.shape[1], frame.shape[0])
    scale = compute_window_scale(frame_size, screen_size)
    window_size = (max(1, round(frame_size[0] * scale)), max(1, round(frame_size[1] * scale)))
    # an average of the pixels where there are too many, as a thin target would fall between those that are kept
    smoothing = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = cv2.resize(np.ascontiguousarray(frame[..., ::-1]), window_size, interpolation=smoothing)
    for box in earlier_boxes:
        x, y, w, h = (box * np.tile(np.array(window_size) / frame_size, 2)).round().astype(int).tolist()
        cv2.rectangle(picture, (x, y), (x + w - 1, y + h - 1), DONE_COLOR, 2)
    drawn = (draw or draw_in_window)(np.asarray(picture, np.uint8), title)
    if drawn is None:
        raise UserError(
            "no box was chosen, so nothing is tracked; start again and press Enter when the box is drawn, or give it "
            "with --init x,y,w,h"
        )
    return convert_window_box(drawn, window_size, frame_size)


class MouseDrag:
    """The box between the place where the mouse button was pressed and the place where it is now.

    Args:
        size: width and height of the picture in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self._size = size
        self._ends: list[tuple[int, int]] = []
        self._is_down = False

    def handle_event(self, event: int, x: int, y: int, *_: Any) -> None:
        """Take an event of OpenCV's mouse callback.

        Args:
            event: ``cv2.EVENT_...``.
            x: column of the mouse in pixels; outside the picture it may be negative or too large.
            y: row of the mouse in pixels.
        """
        # a drag that leaves the window goes on being reported
        place = (min(max(x, 0), self._size[0] - 1), min(max(y, 0), self._size[1] - 1))
        if event == cv2.EVENT_LBUTTONDOWN:
            self._ends, self._is_down = [place, place], True
        elif self._is_down:
            self._ends[1] = place
            self._is_down = event != cv2.EVENT_LBUTTONUP

    @property
    def box(self) -> WindowBox | None:
        """The box with the pixels at both ends, or ``None`` if none was drawn yet."""
        if not self._ends:
            return None
        (x1, y1), (x2, y2) = self._ends
        box = WindowBox(min(x1, x2), min(y1, y2), abs(x2 - x1) + 1, abs(y2 - y1) + 1)
        return box if min(box.width, box.height) >= LEAST_DRAG else None


def draw_in_window(picture: ImageArray, title: str) -> WindowBox | None:
    """Show a picture and let the user drag a box: Enter or space accepts, Escape or closing the window cancels.

    Args:
        picture: BGR, shape (height, width, 3).
        title: title of the window.
    """
    drag = MouseDrag((picture.shape[1], picture.shape[0]))
    cv2.namedWindow(title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
    try:
        cv2.setMouseCallback(title, drag.handle_event)
        while True:
            shown = picture
            if drag.box is not None:
                x, y, w, h = drag.box
                shown = picture.copy()
                # black below the color, so that the box is visible on any background
                for color, width in ((EDGE_COLOR, 3), (COLOR, 1)):
                    cv2.rectangle(shown, (x, y), (x + w - 1, y + h - 1), color, width)
            cv2.imshow(title, shown)
            key = cv2.waitKey(30) & 0xFF  # Python handles Ctrl-C between two calls
            if key in ACCEPT_KEYS and drag.box is not None:
                return drag.box
            if key in CANCEL_KEYS or not _is_window_open(title):
                return None
    finally:
        # not destroyWindow, which fails if the user has closed the window
        cv2.destroyAllWindows()


def _is_window_open(title: str) -> bool:
    """Return whether a window is still there, as the user may close it."""
    try:
        return bool(cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1)
    except cv2.error:  # of Qt, once the last window is closed
        return False
