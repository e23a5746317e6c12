"""How fast a test set was tracked: the summary of the times that stand beside its boxes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbones.profile import describe_machine
from tracking.data.boxes import FloatArray
from tracking.data.readers.sequence import Video
from tracking.inference.result_files import sidecar_path

WARMUP_FRAMES = 5
"""Frames at the beginning of each sequence that no summary counts; the first has no search region at all."""


def summarize_speed(folder: Path, videos: Sequence[Video], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The times of tracked sequences, summarised over frames; every single one is in ``<sequence>_times.txt``.

    Returns:
        Runtime, precision, device, batch, threads and processes; ``end_to_end`` (decoding, as far as it was waited
        for, crop, network, box) and ``network`` (its maps in hand) with median and p90 in ms, and frames a second of
        one process by the mean.
    """
    times, processes = [np.empty((0, 2))], set()
    for video in videos:
        path = sidecar_path(folder, video, "times")
        times.append(np.loadtxt(path, delimiter=",", ndmin=2)[WARMUP_FRAMES:])
        with path.open() as file:
            processes |= {int(number) for number in re.findall(r"processes at a time: (\d+)", file.readline())}
    values = np.concatenate(times)
    keys = ("runtime", "precision", "device", "batch")
    machine = describe_machine(provenance["device"])
    return {
        **{key: provenance[key] for key in keys},
        "chip": machine["chip"],
        "threads": 1 if provenance["device"] == "cpu" else torch.get_num_threads(),
        "processes": sorted(processes),
        "synchronised": True,
        "warm_up": f"the first {WARMUP_FRAMES} frames of each sequence are not counted",
        "end_to_end": _summarize_times(values[:, 0]),
        "network": _summarize_times(values[:, 1]),
        "raw": f"{folder.name}/<sequence>_times.txt",
    }


def _summarize_times(milliseconds: FloatArray) -> dict[str, Any] | None:
    """Median, p90 and rate; ``None`` where nothing was measured."""
    if not len(milliseconds):
        return None
    return {
        "frames": len(milliseconds),
        "median_ms": round(float(np.median(milliseconds)), 3),
        "p90_ms": round(float(np.percentile(milliseconds, 90)), 3),
        "frames_per_second": round(1000 / float(milliseconds.mean()), 2),
    }
