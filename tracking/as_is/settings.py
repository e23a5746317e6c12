"""The settings of an evaluation of a tracker, as ``--set`` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, ValidationError

from engine.config import parse_value
from engine.recipe import StrictConfig
from foundation.errors import ConfigError
from foundation.suggest import did_you_mean
from results.records.strict_model import format_validation_errors
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
    template_size: PositiveInt | None = None
    search_size: PositiveInt | None = None
    template_factor: PositiveFloat | None = None
    search_factor: PositiveFloat | None = None
    # a score of one item has no interval, and a record of it could not be checked
    max_items: Annotated[int, Field(ge=2)] | None = None
    max_frames: PositiveInt | None = None
    track_processes: PositiveInt | None = None
    track_batch: PositiveInt = 16

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
    # the names as the user may write them; another one gets the most similar of them
    known = list(EvaluationSettings.model_fields)
    values: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals or not key:
            raise ConfigError(f"--set takes key=value, not {override!r}")
        if key not in known:
            raise ConfigError(
                f"an evaluation of a tracker has no setting {key!r}{did_you_mean(key, known, hint=', '.join(known))}"
            )
        value = parse_value(text.strip())
        # a whole number is a valid factor, and strict validation would refuse it
        values[key] = float(value) if key.endswith("_factor") and type(value) is int else value
    try:
        return EvaluationSettings.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"the settings of the evaluation are invalid: {format_validation_errors(error)}") from error
