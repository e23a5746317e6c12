"""Negative controls: a task whose signal was destroyed, and the tools that destroy it. Imports no torch.

A protocol that still scores above chance on such a task measures something other than its images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.data.item_limits import limit_report, read_limit
from engine.task import ControlKind, DataReport, DecodeLevel, MetricSpec, RunPlan, RunRequest, Task, TaskOutcome

ItemT = TypeVar("ItemT")


class ControlTask(Task):
    """A variant of a task that differs only in what its run reads, or answers.

    Args:
        original: the task; it checks the data and plans the run.
        kind: see ``Task.make_control``.
        seed: see ``Task.make_control``.
        run_variant: carries out a planned run, as ``Task.run`` does.
        metrics: the metrics that are compared; default: the primary metric of the task.
    """

    def __init__(
        self,
        original: Task,
        kind: ControlKind,
        seed: int,
        run_variant: Callable[[RunRequest, RunPlan, Path], TaskOutcome],
        metrics: Sequence[MetricSpec] = (),
    ) -> None:
        self.original, self.kind, self.seed, self.run_variant = original, kind, seed, run_variant
        self.name = f"{original.name}-{kind}-{seed}"
        self.domain, self.summary, self.protocols = original.domain, original.summary, original.protocols
        self.metrics = tuple(metrics) or original.metrics[:1]
        self.expected, self.supports_data_scale = original.expected, original.supports_data_scale
        self.data_options = original.data_options

    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Check the data of the task; the fingerprint is another one."""
        report = self.original.check_data(root, decode)
        return replace(report, fingerprint=mark_fingerprint(report.fingerprint, self.kind, self.seed))

    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Plan as the task does; an answer from labels alone is one row per test item, also where a run draws often."""
        plan = self.original.plan(request, data)
        if self.kind != "labels_only":
            return plan
        limited = limit_report(data, read_limit(plan.config.get("recipe")))
        return replace(plan, num_expected_items=limited.splits["test"])

    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Run on the changed data."""
        return self.run_variant(request, plan, out)


def mark_fingerprint(fingerprint: str, kind: ControlKind, seed: int) -> str:
    """Return the fingerprint of data that were changed for a control, 64 hexadecimal digits.

    Args:
        fingerprint: fingerprint of the data as they were.
        kind: how they were changed.
        seed: the seed of the change.
    """
    return hashlib.sha256(f"{fingerprint} {kind} {seed}".encode()).hexdigest()


def shuffle_items(items: Sequence[ItemT], seed: int) -> list[ItemT]:
    """Return the items in a random order; the same order for the same seed.

    >>> sorted(shuffle_items("abcd", 0))
    ['a', 'b', 'c', 'd']
    """
    # PCG64 by name: numpy may change what default_rng returns
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(items))
    return [items[index] for index in order.tolist()]


def draw_noise(shape: Sequence[int], *seed_parts: int | str) -> NDArray[np.uint8]:
    """Return an image of uniform noise, 0 to 255; the same image for the same parts of the seed.

    Args:
        shape: shape of the image.
        seed_parts: what tells this image from the others, for example a seed and the image's name.
    """
    digest = hashlib.sha256("\0".join(map(str, seed_parts)).encode("utf-8", "surrogateescape")).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
    return generator.integers(256, size=tuple(shape), dtype=np.uint8)
