"""A tracker for tests of processes: it needs no torch, takes its time, and dies on a sign."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tracking.data.boxes import FloatArray
from tracking.data.readers.sequence import Video


def truncate_video(video: Video, frames: int) -> Video:
    return Video(video.name, video.frames[:frames], video.boxes[:frames], video.visible[:frames])


@dataclass(frozen=True)
class SlowTrackerFactory:
    """A tracker that never moves and takes its time; it tells its process's number, and dies on a sign."""

    folder: Path
    seconds: float = 0.02
    device: str = "cpu"

    def __call__(self) -> Any:
        (self.folder / f"pid_{os.getpid()}").touch()
        return SlowTracker(self)

    def describe_provenance(self) -> dict[str, Any]:
        return {"weights": "slow", "runtime": "none", "precision": "fp32", "device": self.device}


class SlowTracker:
    confidence, network_seconds = 0.5, 0.001

    def __init__(self, factory: SlowTrackerFactory) -> None:
        self.factory = factory

    def init(self, image: np.ndarray, box: FloatArray) -> None:
        self.box = box

    def update(self, image: np.ndarray) -> FloatArray:
        time.sleep(self.factory.seconds)
        if (self.factory.folder / "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.box
