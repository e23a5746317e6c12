"""The types of settings: numbers within a range that is generous for real use, and texts of bounded length.

Without an upper end, a slip of the keyboard (``epochs=10000000000``) would fill the memory or run for years instead of
being named. Ranges are no part of a run's id. Imports no torch.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from foundation.values.number_ranges import MAX_BATCH, MAX_COUNT, MAX_PROCESSES, MAX_SIDE
from foundation.values.path_text import find_path_fault

Count = Annotated[int, Field(gt=0, le=MAX_COUNT)]
"""A number of items, steps or epochs."""

CountOrZero = Annotated[int, Field(ge=0, le=MAX_COUNT)]
"""As ``Count``, or none."""

ItemLimit = Annotated[int, Field(ge=2, le=MAX_COUNT)]
"""A limit of items. A score of one item has no interval, and a record of it could not be checked."""

BatchSize = Annotated[int, Field(gt=0, le=MAX_BATCH)]
"""A number of items of one batch."""

Side = Annotated[int, Field(gt=0, le=MAX_SIDE)]
"""A side in pixels."""

Channels = Annotated[int, Field(gt=0, le=2**16)]
"""A width of a layer or a number of heads; the widest published layers have 10^4 to 10^5."""

Depth = Annotated[int, Field(gt=0, le=1000)]
"""A number of blocks."""

LayerIndex = Annotated[int, Field(ge=0, le=1000)]
"""A position of a block or a state, from 0."""

ProcessCount = Annotated[int, Field(gt=0, le=MAX_PROCESSES)]
"""A number of processes on one machine."""

WorkerCount = Annotated[int, Field(ge=0, le=MAX_PROCESSES)]
"""A number of loader processes; 0 loads in the process itself."""

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A fraction or a probability."""

Weight = Annotated[float, Field(ge=0, le=1e6)]
"""A weight of a loss, a penalty or a data set."""

PositiveWeight = Annotated[float, Field(gt=0, le=1e6)]
"""A factor that must not be 0."""

CropFactor = Annotated[float, Field(ge=0.1, le=100)]
"""Side of a region as a multiple of the target's side."""

LearningRate = Annotated[float, Field(ge=1e-12, le=3.4e38)]
"""Below 1e-12 a rate changes no float32 weight, so nothing would be trained; above 3.4e38 it is none. A rate that is
too high is found by its training, which diverges."""

LayerDecay = Annotated[float, Field(ge=0.01, le=1)]
"""Below 0.01 a few blocks down the rate would be 0."""

VoteTemperature = Annotated[float, Field(ge=1e-4, le=1e4)]
"""Temperature of a k-NN vote. Beyond this range the nearest neighbor decides alone, or all neighbors count the same."""

DistillTemperature = Annotated[float, Field(ge=0.01, le=100)]
"""Temperature of a teacher's probabilities. Beyond this range they are one class alone, or all classes alike."""

MAX_LISTED = 1000
"""Largest number of values of a setting that is a list."""


def _require_possible_path(text: str) -> str:
    if fault := find_path_fault(text):
        raise ValueError(f"it is no path: {fault}")
    return text


PathText = Annotated[str, AfterValidator(_require_possible_path)]
"""A path as text; that the file is there is checked by who reads it."""

MAX_MODEL_NUMBER = 10**6
"""Largest size of a number in a configuration of mmsegmentation, where no setting has a range of its own."""


def _require_small_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        for each in value.values():
            _require_small_numbers(each)
    elif isinstance(value, list):
        for each in value:
            _require_small_numbers(each)
    elif isinstance(value, int | float) and not -MAX_MODEL_NUMBER <= value <= MAX_MODEL_NUMBER:
        raise ValueError(f"a number in it is not between -{MAX_MODEL_NUMBER} and {MAX_MODEL_NUMBER}")
    return value


ForeignConfig = Annotated[dict[str, Any], AfterValidator(_require_small_numbers)]
"""Nested configuration of another library."""
