"""Measure how fast a test set was tracked, from the times in its result files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backbones.cost.profile import describe_machine
from tracking.data.boxes import FloatArray
from tracking.data.readers.sequence import Video
from tracking.inference.result_files import read_sidecar, sidecar_path

WARMUP_FRAMES = 5
"""Number of frames at the start of each sequence that are not counted; the first has no search region at all."""


def summarize_speed(folder: Path, videos: Sequence[Video], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Summarize the times of tracked sequences over all frames.

    The times of each frame are in ``<sequence>_times.txt``.

    Args:
        folder: folder of the result files.
        videos: the sequences.
        provenance: description of the tracker, with ``runtime``, ``precision``, ``device`` and ``batch``.

    Returns:
        Runtime, precision, device, batch size, threads and number of processes; ``end_to_end`` (waiting for the
        decoder, crop, network, box) and ``network`` (until its maps are available), each with median and 90th
        percentile in ms and with frames per second of one process, computed from the mean.
    """
    times, processes = [np.empty((0, 2))], set()
    for video in videos:
        path = sidecar_path(folder, video, "times")
        times.append(read_sidecar(folder, video, "times")[WARMUP_FRAMES:])
        with path.open() as file:
            # how many processes ran at once is in the first line; it can change if a run is continued
            processes |= {int(number) for number in re.findall(r"processes at a time: (\d+)", file.readline())}
    values = np.concatenate(times)
    keys = ("runtime", "precision", "device", "batch")
    machine = describe_machine(provenance["device"])
    return {
        **{key: provenance[key] for key in keys},
        "chip": machine["chip"],
        "threads": 1 if provenance["device"] == "cpu" else torch.get_num_threads(),
        "processes": sorted(processes),
        # the maps were copied to the CPU before the clock was read, so a GPU had finished
        "synchronised": True,
        "warm_up": f"the first {WARMUP_FRAMES} frames of each sequence are not counted",
        "end_to_end": _summarize_times(values[:, 0]),
        "network": _summarize_times(values[:, 1]),
        "raw": f"{folder.name}/<sequence>_times.txt",
    }


def _summarize_times(milliseconds: FloatArray) -> dict[str, Any] | None:
    """Return median, 90th percentile and rate, or ``None`` if nothing was measured."""
    if not len(milliseconds):
        return None
    return {
        "frames": len(milliseconds),
        "median_ms": round(float(np.median(milliseconds)), 3),
        "p90_ms": round(float(np.percentile(milliseconds, 90)), 3),
        # from the mean and not from the median: it is the rate at which a long video is processed
        "frames_per_second": round(1000 / float(milliseconds.mean()), 2),
    }
