"""What ``bench track`` is asked to do. Imports nothing heavy: the command line builds it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deployment.formats import Precision
from tracking.inference.options import Runtime


@dataclass(frozen=True)
class TrackVideoRequest:
    """Follow one target through a source of frames.

    Attributes:
        source: a video file, a folder of images, or a camera's number.
        init_box: x, y, w, h of the target in the first frame, pixels; ``None``: of the folder's ``groundtruth.txt``.
        run_dir: folder of a finished tracking run, whose tracker is used.
        runtime: of that run's tracker; ``None``: what the run was tracked with.
        precision: of the runtime; ``None``: the run's own where the runtime is, else ``f32``.
        checkpoint: or a checkpoint of OSTrack's code.
        backbone: the plain ViT of that checkpoint.
        protocol: the crops of that checkpoint; ``None``: ``ostrack256``.
        start_frame: number of the first frame, from 0.
        max_frames: frames to take at most.
        lost_threshold: confidence, 0 to below 1, below which the target may be lost; ``None``: the default.
        write_video: whether to make the annotated video.
        out_dir: an empty or a new folder; ``None``: ``runs/track/<name of the source>``.
        device: ``auto``, ``cpu`` or ``cuda``.
        command_line: the words that asked for it, for the record.
    """

    source: str
    init_box: tuple[float, ...] | None = None
    run_dir: Path | None = None
    runtime: Runtime | None = None
    precision: Precision | None = None
    checkpoint: Path | None = None
    backbone: str | None = None
    protocol: str | None = None
    start_frame: int = 0
    max_frames: int | None = None
    lost_threshold: float | None = None
    write_video: bool = True
    out_dir: Path | None = None
    device: str = "auto"
    command_line: tuple[str, ...] = ()
