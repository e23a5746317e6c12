"""Summarize sequences for ``bench check data``: frames, boxes, absences, and frames with their boxes. No torch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from engine.summary.data_summary import (
    NUM_SAMPLES,
    DataSummary,
    SamplePicture,
    SampleSheet,
    SplitSummary,
    describe_misnamed,
    format_quantiles,
)
from engine.summary.image_headers import ImageHeader, collect_image_facts, read_header, read_headers
from engine.summary.repeated_items import NamedContent, find_repeated_items
from foundation.hash_order import order_by_hash
from foundation.plural import format_count
from tracking.data.boxes import BoolArray, FloatArray, has_area
from tracking.data.readers.folder import TRAIN_FOLDER, has_files, read_folder_videos
from tracking.data.readers.sequence import Video
from tracking.scoring.metrics import compute_iou
from tracking.video.film_strip import TRUTH_COLOR

_SAMPLE_SALT = "bench-contact-sheet-1"
_ABSENT_COLOR = (213, 94, 0)  # vermilion of Okabe and Ito's palette
_MAX_SEQUENCES = 4
_FRAME_WIDTH = 392
_MAX_NAMED = 3


class _SequenceFacts(NamedTuple):
    """The boxes of a sequence where the target is present.

    Attributes:
        name: of the sequence.
        frames: number of frames.
        absent: number of frames in which the target is absent.
        area: percent of the frame that the median box covers.
        outside: share of the boxes whose center is outside the frame or that reach beyond it by a tenth of its side.
        is_still: whether all boxes are the same.
        jumps: share of the frames whose box does not touch that of the frame before.
    """

    name: str
    frames: int
    absent: int
    area: float
    outside: float
    is_still: bool
    jumps: float


def summarize_sequences(splits: Mapping[str, Sequence[Video]], has_truth: bool = True) -> DataSummary:
    """Summarize the sequences of each split.

    Args:
        splits: the sequences by split.
        has_truth: whether the box of every frame is known; the truth of some sets is on a server.

    Raises:
        DataError: a frame that is drawn cannot be read.
    """
    contents = {name: _list_first_frames(videos) for name, videos in splits.items()}
    findings = find_repeated_items(contents, "first frame")
    summaries = {}
    for name, videos in splits.items():
        headers = read_headers(partial(_read_first_header, videos), len(videos))
        sizes = {header.name: header.size for header in headers if header.file_format}
        facts = [
            _collect_facts(video, sizes[_name_frame(video, 0)]) for video in videos if _name_frame(video, 0) in sizes
        ]
        facts = facts if has_truth else []
        lines = _describe_sequences(facts, videos)
        summaries[name] = SplitSummary(len(videos), collect_image_facts(headers), {}, lines)
        findings += _find_odd_boxes(name, facts)
    samples = _choose_samples(splits)
    return DataSummary(
        "sequence",
        "",
        summaries,
        (*findings, *describe_misnamed(summaries)),
        tuple(_name_frame(video, number) for _, video, number in samples),
        lambda: _draw_samples(samples, has_truth),
    )


def read_own_training(task: str, root: Path) -> dict[str, Sequence[Video]]:
    """Read the training sequences that nobody but the user has looked at, by split; empty for published sets.

    Args:
        task: name of the task.
        root: the data root.

    Raises:
        DataError: a sequence is damaged.
    """
    is_there = task == "trackfolder" and has_files(root, TRAIN_FOLDER)
    return {TRAIN_FOLDER: read_folder_videos(root, TRAIN_FOLDER)} if is_there else {}


def _name_frame(video: Video, number: int) -> str:
    return f"{video.name}/{video.frames[number].name}"


def _read_first_header(videos: Sequence[Video], place: int) -> ImageHeader:
    return read_header(videos[place].frames[0], _name_frame(videos[place], 0))


def _list_first_frames(videos: Sequence[Video]) -> list[NamedContent]:
    """Return the digest of the first frame of each sequence: a sequence that is there twice begins twice."""
    # two targets of one video, as OTB has them, are two sequences of the same files
    files = {str(video.frames[0]): video for video in reversed(videos)}
    return [
        NamedContent(_name_frame(video, 0), hashlib.sha256(video.frames[0].read_bytes()).hexdigest())
        for video in reversed(files.values())
    ]


def _find_present(video: Video) -> BoolArray:
    return np.asarray(video.visible & has_area(video.boxes) & np.isfinite(video.boxes).all(1), np.bool_)


def _collect_facts(video: Video, size: tuple[int, int]) -> _SequenceFacts:
    is_present = _find_present(video)
    boxes = video.boxes[is_present]
    if not len(boxes):
        return _SequenceFacts(video.name, len(video.frames), len(video.frames), 0.0, 0.0, False, 0.0)
    is_outside = _find_outside(boxes, size)
    # only between frames that both show the target: it may come back elsewhere
    follows = is_present[1:] & is_present[:-1]
    overlap = compute_iou(video.boxes[1:][follows], video.boxes[:-1][follows]) if follows.any() else np.ones(1)
    area = 100 * float(np.median(boxes[:, 2] * boxes[:, 3])) / (size[0] * size[1])
    # two equal boxes are no sign: a target may rest
    is_still = len(boxes) > 2 and bool((boxes == boxes[0]).all())
    return _SequenceFacts(
        video.name,
        len(video.frames),
        int((~is_present).sum()),
        area,
        float(is_outside.mean()),
        is_still,
        float((overlap <= 0).mean()),
    )


def _find_outside(boxes: FloatArray, size: tuple[int, int]) -> BoolArray:
    """Return which boxes have their center outside the frame, or reach beyond it by more than a tenth of its side."""
    width, height = size
    left, top, right, bottom = boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3]
    x, y = (left + right) / 2, (top + bottom) / 2
    is_center_outside = (x < 0) | (y < 0) | (x > width) | (y > height)
    reaches = (left < -0.1 * width) | (top < -0.1 * height) | (right > 1.1 * width) | (bottom > 1.1 * height)
    return np.asarray(is_center_outside | reaches, np.bool_)


def _describe_sequences(facts: Sequence[_SequenceFacts], videos: Sequence[Video]) -> dict[str, str]:
    lengths = [len(video.frames) for video in videos]
    lines = {"frames": f"{sum(lengths):,}; {format_quantiles(lengths, 'per sequence')}"}
    if facts:
        absent = sum(each.absent for each in facts)
        lines["target"] = f"covers {format_quantiles([each.area for each in facts], '% of the frame', 2)}"
        if absent:
            away = format_count(sum(each.absent > 0 for each in facts), "sequence")
            lines["target"] += f"; absent in {format_count(absent, 'frame')} of {away}"
    return lines


def _find_odd_boxes(split: str, facts: Sequence[_SequenceFacts]) -> list[str]:
    """Return what is unusual about the boxes of a split, one sentence each."""
    rules: tuple[tuple[Callable[[_SequenceFacts], bool], str], ...] = (
        (
            lambda each: each.outside > 0.2,
            "boxes that reach far out of the frame (x, y, width, height are expected; are these corners, or boxes of "
            "another resolution?)",
        ),
        (lambda each: each.is_still, "one box for all frames (is only the first frame annotated?)"),
        (
            lambda each: each.jumps > 0.3,
            "boxes that jump from frame to frame (are the frames in the order of the boxes? is it one target?)",
        ),
        (lambda each: each.area > 80, "a target that fills the frame"),
        (lambda each: each.frames > 1 and 2 * each.absent > each.frames, "a target that is absent in most frames"),
    )
    findings = []
    for is_odd, words in rules:
        odd = [each.name for each in facts if is_odd(each)]
        if odd:
            more = f" and {len(odd) - _MAX_NAMED} more" if len(odd) > _MAX_NAMED else ""
            have = "has" if len(odd) == 1 else "have"
            names = f"{', '.join(odd[:_MAX_NAMED])}{more}"
            findings.append(f"{split}: {format_count(len(odd), 'sequence')} {have} {words}: {names}")
    return findings


def _choose_samples(splits: Mapping[str, Sequence[Video]]) -> list[tuple[str, Video, int]]:
    """Choose a few sequences of each split and frames of them from the first to the last; the same for the same names.

    Of four sequences these are first, middle and last frame, of fewer sequences more frames.
    """
    share = max(1, _MAX_SEQUENCES // len(splits))
    chosen = [
        (split, video)
        for split, videos in splits.items()
        for video in order_by_hash(videos, _SAMPLE_SALT, lambda video: video.name)[:share]
    ]
    samples = []
    for split, video in chosen:
        numbers = np.linspace(0, len(video.frames) - 1, NUM_SAMPLES // len(chosen)).round().astype(int)
        samples += [(split, video, number) for number in sorted(set(numbers.tolist()))]
    return samples


def _draw_samples(samples: Sequence[tuple[str, Video, int]], has_truth: bool) -> SampleSheet:
    pictures = []
    for split, video, number in samples:
        picture, words = _draw_frame(video, number, is_known=has_truth or number == 0)
        caption = (f"{split}: {video.name}, frame {number + 1:,} of {len(video.frames):,}", words)
        pictures.append(SamplePicture(picture, caption))
    legend = [(TRUTH_COLOR, "box of the target"), (_ABSENT_COLOR, "target absent by the labels")]
    return SampleSheet(pictures, legend, num_columns=3, is_outline=True)


def _draw_frame(video: Video, number: int, is_known: bool) -> tuple[Image.Image, str]:
    """Return a frame with its box, and the box in words; a frame without the target has a frame and a cross."""
    frame = Image.fromarray(video.read_frame(number))
    scale = _FRAME_WIDTH / frame.width
    picture = frame.resize((_FRAME_WIDTH, max(1, round(frame.height * scale))), Image.Resampling.LANCZOS)
    pen, box = ImageDraw.Draw(picture), video.boxes[number]
    if not is_known:
        return picture, "the box is on the server of the set"
    if not _find_present(video)[number]:
        right, bottom = picture.width - 1, picture.height - 1
        pen.rectangle((0, 0, right, bottom), outline=_ABSENT_COLOR, width=5)
        pen.line((0, 0, right, bottom), fill=_ABSENT_COLOR, width=2)
        pen.line((0, bottom, right, 0), fill=_ABSENT_COLOR, width=2)
        return picture, f"target absent, {frame.width} x {frame.height} px"
    x, y, width, height = (float(value) * scale for value in box)
    corners = (x, y, x + width, y + height)
    # white below the color, so that a box is visible on any background
    pen.rectangle(
        tuple(value + step for value, step in zip(corners, (-2, -2, 2, 2), strict=True)), outline="white", width=5
    )
    pen.rectangle(corners, outline=TRUTH_COLOR, width=3)
    words = ", ".join(f"{value:g}" for value in np.round(box, 1))
    is_outside = x + width <= 0 or y + height <= 0 or x >= picture.width or y >= picture.height
    note = ", NOT IN THE FRAME" if is_outside else ""
    return picture, f"box {words}{note}; {frame.width} x {frame.height} px"
