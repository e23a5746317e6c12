"""The parts of a record that say what a run cost, and where and how it was made. None of them is part of its id."""

from __future__ import annotations

from statistics import median
from typing import Annotated

from pydantic import Field, field_validator

from foundation.machine.machine_load import MachineLoad, is_machine_busy
from results.records.strict_model import FiniteFloat, Name, StrictModel

Count = Annotated[int, Field(ge=0, le=10**18)]
"""A number of things. The limit keeps it a number that every format can hold; records may be made up."""

Milliseconds = Annotated[FiniteFloat, Field(ge=1e-6, le=1e12)]
"""A duration that a clock can have measured: from a nanosecond up to 30 years. No pass takes no time at all."""


Pixels = Annotated[int, Field(ge=1, le=10**6)]
"""A height or width of an image."""


class TimingSamples(StrictModel):
    """The durations of single forward passes of ``batch`` images, in milliseconds, in the order of measurement."""

    batch: int = Field(ge=1, le=10**9)
    raw_ms: list[Milliseconds] = Field(min_length=1)

    @property
    def median_ms(self) -> float:
        """Return the median duration in milliseconds; unlike the mean, it is not moved by a single slow pass."""
        return median(self.raw_ms)


class EfficiencyRecord(StrictModel):
    """The cost of the backbone (with the classifier it was trained with, if any) at the run's input size.

    Attributes:
        img_size: height and width of the input, in pixels.
        parameters: number of parameters.
        macs, macs_without_attention: multiply-accumulates per image, with and without the products of attention.
        activations: number of elements in the outputs of all convolutions and matrix products, per image.
        latency, throughput: durations at batch size 1 and at a larger batch size.
        chip, threads, runtime, precision: where and how the durations were measured; ``None`` without durations.
        load_average: load average of the minute before the measurement, per usable processor; ``None`` if not known.
        other_load: share of the processors' time that other processes used during the measurement, 0 to 1; ``None`` if
            not known, and for a GPU.
        processors: number of processors that the process could use.
    """

    img_size: list[Pixels]
    parameters: Count
    macs: Count
    macs_without_attention: Count
    activations: Count
    latency: TimingSamples | None = None
    throughput: TimingSamples | None = None
    chip: Name | None = None
    threads: int | None = Field(default=None, ge=1, le=10**6)
    runtime: Name | None = None
    precision: Name | None = None
    # a negative load would make a busy machine quiet
    load_average: FiniteFloat | None = Field(default=None, ge=0)
    other_load: FiniteFloat | None = Field(default=None, ge=0, le=1)
    processors: int | None = Field(default=None, ge=1, le=10**6)

    @field_validator("latency")
    @classmethod
    def _require_single_images(cls, latency: TimingSamples | None) -> TimingSamples | None:
        # boards show its median as the milliseconds of one image
        if latency is not None and latency.batch != 1:
            raise ValueError(f"a latency is measured with one image, not with a batch of {latency.batch}")
        return latency

    def is_busy(self, timing: TimingSamples) -> bool:
        """Return whether something else kept the machine busy during one of the two measurements."""
        load = MachineLoad(self.load_average, self.other_load, self.processors)
        return is_machine_busy(timing.raw_ms, load, self.threads)


class RunCost(StrictModel):
    """The cost of the run.

    Attributes:
        phases: seconds by phase, summed over all attempts.
        peak_memory_mib: peak memory of this process, in MiB.
        attempts: how often the run was started, including resumed runs.
        efficiency: counts and durations of the backbone.
    """

    phases: dict[Name, FiniteFloat]
    peak_memory_mib: FiniteFloat | None = None
    attempts: Count = 1
    efficiency: EfficiencyRecord | None = None


class RunEnvironment(StrictModel):
    """Where and how the run was made. ``started`` and ``finished`` are UTC in ISO 8601.

    ``image_decoder`` names what decodes image files in the task's domain, with its version and that of its JPEG
    library; it is ``None`` in records of schema versions before 8. ``nondeterministic_operations`` names what a GPU
    computed with sums in another order each time, so that a repeat may differ in the last digits and what follows from
    them; ``None`` if there was nothing of the kind.
    ``memory_allocator`` is the library that was loaded before Python in place of the system's allocator; ``None``
    without, and in older records.
    """

    started: Name
    finished: Name | None = None
    device: Name
    threads: Count
    processes: Count  # of a distributed run
    precision: Name
    python: Name
    platform: Name
    packages: dict[str, str]
    git_commit: str | None = None
    git_dirty: bool | None = None  # whether the checkout had uncommitted changes
    command: list[str]
    image_decoder: str | None = None
    nondeterministic_operations: list[str] | None = None
    memory_allocator: str | None = None
