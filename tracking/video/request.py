"""The request of ``bench track``. Imports nothing heavy, as the command line creates it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.evaluation.model_source import Precision, Runtime


@dataclass(frozen=True)
class TrackVideoRequest:
    """Follow one target through a source of frames.

    Attributes:
        source: a video file, a folder of images, or the number of a camera.
        init_box: x, y, width, height of the target in the first frame in pixels; ``None``: from the folder's
            ``groundtruth.txt``.
        run_dir: folder of a finished tracking run, whose tracker is used.
        runtime: runtime of that run's tracker; ``None``: the runtime that the run itself used.
        precision: precision of the runtime; ``None``: the run's own with the run's own runtime, else ``f32``.
        checkpoint: a checkpoint of OSTrack's code, instead of ``run_dir``.
        backbone: the plain ViT of that checkpoint.
        protocol: the protocol of that checkpoint; ``None``: what the file itself says.
        start_frame: index of the first frame, from 0.
        max_frames: largest number of frames to take.
        lost_threshold: confidence below which the target may be lost, from 0 to below 1; ``None``: the default.
        write_video: whether to write the annotated video.
        out_dir: an empty or new folder; ``None``: ``runs/track/<name of the source>``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        command_line: the words of the command, for the record.
    """

    source: str
    init_box: tuple[float, ...] | None = None
    run_dir: Path | None = None
    # for run_dir only; checkpoint, backbone and protocol belong together instead
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
