"""The settings of an evaluation of a tracker, as ``--set`` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.config import parse_flat_settings
from engine.recipe import StrictConfig
from engine.settings.setting_types import BatchSize, Count, CropFactor, ItemLimit, ProcessCount, Side
from tracking.inference.options import TrackingOptions
from tracking.ostrack_settings import TrackerSettings


class EvaluationSettings(StrictConfig):
    """How a tracker is evaluated; ``None`` stands for the tracker's own value, or for no limit.

    Attributes:
        protocol: for a checkpoint of OSTrack's code that does not say its crops: the protocol that has them.
        ce: whether search tokens are dropped (candidate elimination).
        template_size, search_size: sides of the crops, pixels.
        template_factor, search_factor: sides of the regions that they show, as multiples of the target's side.
        max_items: largest number of sequences, evenly spread over the set; another board.
        max_frames: largest number of frames of a sequence, the first ones; another board.
        track_processes: number of single-threaded processes on a CPU; it cannot change the number.
        track_batch: number of sequences that are tracked side by side on a GPU.
    """

    protocol: str | None = None
    ce: bool | None = None
    template_size: Side | None = None
    search_size: Side | None = None
    template_factor: CropFactor | None = None
    search_factor: CropFactor | None = None
    max_items: ItemLimit | None = None
    max_frames: Count | None = None
    track_processes: ProcessCount | None = None
    track_batch: BatchSize = 16

    def asked_tracker(self) -> TrackerSettings:
        """Return what is asked of the tracker itself."""
        return TrackerSettings(**{name: getattr(self, name) for name in TrackerSettings._fields})

    def limits(self) -> dict[str, int]:
        """Return the limits that are set, by name."""
        named = {"max_items": self.max_items, "max_frames": self.max_frames}
        return {name: value for name, value in named.items() if value is not None}

    def tracking_options(self) -> TrackingOptions:
        """Return how the work on the test set is divided."""
        return TrackingOptions(self.track_processes, self.track_batch)


def read_settings(overrides: Sequence[str]) -> EvaluationSettings:
    """Read the settings of an evaluation.

    Args:
        overrides: the texts of ``--set``, ``key=value``.

    Raises:
        ConfigError: a text is not ``key=value``, there is no such setting, or a value is not valid.
    """
    return parse_flat_settings(EvaluationSettings, overrides, "an evaluation of a tracker", _widen_factor)


def _widen_factor(key: str, text: str, value: Any) -> Any:
    # a whole number is a valid factor, and strict validation would refuse it
    return float(value) if key.endswith("_factor") and type(value) is int else value
