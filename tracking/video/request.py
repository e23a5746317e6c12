"""The request of ``bench track``. Imports nothing heavy, as the command line creates it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.evaluation.model_source import Precision, Runtime

SELECT: Literal["select"] = "select"
"""In place of a box: the user draws it in a window."""

InitBox = tuple[float, ...] | Literal["select"]


@dataclass(frozen=True)
class TrackVideoRequest:
    """Follow one or several targets through a source of frames.

    Attributes:
        source: a video file, a folder of images, or the number of a camera.
        init_boxes: x, y, width, height of each target in the first frame in pixels, or ``select``; empty: one target,
            from the folder's ``groundtruth.txt``, which is not opened otherwise.
        run_dir: folder of a finished tracking run, whose tracker is used; ``None`` without ``checkpoint``: the
            tracker that bench ships.
        runtime: runtime of the tracker; ``None``: that of the run if it is not torch, else the fastest that is
            installed, in f32 (``tracking.video.fastest_runtime``), unless ``precision`` is given.
        precision: precision of the runtime; ``None``: the run's own with the run's own runtime, else ``f32``.
        checkpoint: a checkpoint of OSTrack's code, instead of ``run_dir``.
        backbone: the plain ViT of that checkpoint.
        protocol: the protocol of that checkpoint; ``None``: what the file itself says.
        start_frame: index of the first frame, from 0.
        max_frames: largest number of frames to take.
        lost_thresholds: confidence below which a target may be lost, from 0 to below 1: one for all targets, or one for
            each; empty: the default.
        write_video: whether to write the annotated video.
        out_dir: an empty or new folder; ``None``: ``runs/track/<name of the source>``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        command_line: the words of the command, for the record.
    """

    source: str
    init_boxes: tuple[InitBox, ...] = ()
    run_dir: Path | None = None
    runtime: Runtime | None = None
    precision: Precision | None = None
    # checkpoint, backbone and protocol belong together, instead of run_dir
    checkpoint: Path | None = None
    backbone: str | None = None
    protocol: str | None = None
    start_frame: int = 0
    max_frames: int | None = None
    lost_thresholds: tuple[float, ...] = ()
    write_video: bool = True
    out_dir: Path | None = None
    device: str = "auto"
    command_line: tuple[str, ...] = ()
