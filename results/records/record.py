"""The record: one strict, versioned JSON for one cell (backbone x task x protocol x seed).

Rules: an unknown field is an error; a newer schema is an error that says so; ``null`` means "not measured"
and is never 0.0; metrics stand in a record only when the run is complete.
"""

from __future__ import annotations

import json
import math
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from foundation.errors import RecordError

SCHEMA_VERSION = 3
"""Additive only. 1: the first schema. 2: ``data.departures`` (a cut set is no official one) and ``neutral``.
3: ``cost.efficiency``."""

PRETRAINING = "pretraining"
"""The domain whose records are on no board: a pre-training loss compares with nothing (docs/decisions/0006). Their
per-item table is the curve."""

Tier = Literal["smoke", "short", "full"]
Status = Literal["running", "complete", "failed", "invalidated"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number; use null for what was not measured")
    return value


Finite = Annotated[float, AfterValidator(_finite)]


class Strict(BaseModel):
    """Base of all parts of a record: frozen, no unknown fields, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Interval(Strict):
    """A confidence interval of a metric, in the metric's unit; ``over`` says what was resampled."""

    low: Finite
    high: Finite
    level: Finite = 0.95
    method: str
    over: str


class Metric(Strict):
    """One measured value; ``n`` is the number of items (images, sequences) it was taken over."""

    value: Finite
    unit: str
    higher_is_better: bool
    n: int
    interval: Interval | None = None


class LoadReport(Strict):
    """What became of a checkpoint's tensors, by name; ``share`` is of the trunk's elements, 0 to 1."""

    matched: int
    resized: list[str]
    missing: list[str]
    unexpected: list[str]
    dropped: list[str]
    share: Finite
    notes: list[str] = []


class Checkpoint(Strict):
    """The weight file a run started from; format and report are known once it was loaded."""

    uri: str
    sha256: Sha256
    bytes: int
    format: str | None = None
    load_report: LoadReport | None = None


class Backbone(Strict):
    """What was plugged in: the card as resolved, how it was initialised, and from which file."""

    name: str
    card: dict[str, Any]
    arguments: dict[str, Any]
    init: Literal["random", "card", "checkpoint"]
    checkpoint: Checkpoint | None = None
    allow_partial: bool = False
    parameters: int | None = None


class Data(Strict):
    """The data as seen: fingerprint over content and split, items of each split, how they differ from the official."""

    fingerprint: Sha256
    splits: dict[str, int]
    departures: list[str] = []


class Items(Strict):
    """Per-item outcomes: a CSV beside the record and its hash."""

    file: str
    sha256: Sha256
    rows: int


class Selection(Strict):
    """How the reported weights were chosen; never on the test split."""

    split: Literal["val", "none"]
    metric: str
    candidates: int
    chosen: str
    value: Finite | None = None


class Result(Strict):
    """The outcome of a complete run; ``details``: what else the task measured (cross-checks, values by class)."""

    metrics: dict[str, Metric]
    primary: str
    items: Items
    selection: Selection
    details: dict[str, Any] = {}

    @model_validator(mode="after")
    def _primary_is_measured(self) -> Result:
        if self.primary not in self.metrics:
            raise ValueError(f"primary metric {self.primary!r} is not among the metrics")
        return self


class Passes(Strict):
    """Single forward passes of ``batch`` images, milliseconds, in the order they were timed."""

    batch: int
    raw_ms: list[Finite] = Field(min_length=1)

    @property
    def median_ms(self) -> float:
        """Milliseconds of the middle pass; one slow pass does not move it."""
        return median(self.raw_ms)


class Efficiency(Strict):
    """What the backbone (with the classifier it was trained with, if any) costs at the run's input size.

    Counts are per image; MACs include attention products. ``latency`` is at batch 1; ``chip``, ``threads``,
    ``runtime`` and ``precision`` say of what the times are, and are there when the times are.
    """

    img_size: list[int]
    parameters: int
    macs: int
    macs_without_attention: int
    activations: int
    latency: Passes | None = None
    throughput: Passes | None = None
    chip: str | None = None
    threads: int | None = None
    runtime: str | None = None
    precision: str | None = None


class Cost(Strict):
    """What the run cost. ``phases`` in seconds, over all attempts; memory is this process's peak."""

    phases: dict[str, Finite]
    peak_memory_mib: Finite | None = None
    attempts: int = 1
    efficiency: Efficiency | None = None


class Where(Strict):
    """Where and how the run was made. Times are UTC, ISO 8601."""

    started: str
    finished: str | None = None
    device: str
    threads: int
    processes: int
    precision: str
    python: str
    platform: str
    packages: dict[str, str]
    git_commit: str | None = None
    git_dirty: bool | None = None
    command: list[str]


class Record(Strict):
    """One cell of the leaderboard; see the module's rules. ``neutral``: settings that cannot change the number."""

    schema_version: Literal[1, 2, 3] = 3
    run_id: str
    comparability: str
    status: Status
    reason: str | None = None
    tier: Tier
    done: int
    expected: int
    task: str
    domain: str
    protocol: str
    protocol_version: int
    seed: int
    backbone: Backbone
    config: dict[str, Any]
    neutral: dict[str, Any] = {}
    data: Data
    result: Result | None = None
    cost: Cost | None = None
    where: Where

    @model_validator(mode="after")
    def _complete_or_without_numbers(self) -> Record:
        if self.status == "complete":
            if self.result is None:
                raise ValueError("a complete record needs its result")
            if self.done != self.expected:
                raise ValueError(f"complete, but {self.done} of {self.expected} items were scored")
        elif self.status != "invalidated" and self.result is not None:
            raise ValueError(f"a {self.status} record may not hold metrics")
        if self.status in ("failed", "invalidated") and not self.reason:
            raise ValueError(f"a {self.status} record needs its reason")
        return self


def dump_record(record: Record) -> str:
    """The record as JSON text (UTF-8, two-space indent, ``NaN`` refused)."""
    return json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def parse_record(text: str, source: str) -> Record:
    """Read a record from JSON text.

    Args:
        text: the JSON.
        source: where it came from, for the message.

    Raises:
        RecordError: not JSON, a newer schema, an unknown field, or a rule broken; one sentence.
    """
    if not any(word in text for word in _CONSTANTS):  # the way of nearly all records: parsed once
        try:
            return Record.model_validate_json(text)
        except ValidationError:
            pass  # said below, in the order that helps most
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except ValueError as error:
        raise RecordError(f"{source} is not a record: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("schema_version"), int):
        raise RecordError(f"{source} is not a record: it has no schema_version")
    version = content["schema_version"]
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{source} has schema version {version}, this bench reads up to {SCHEMA_VERSION}; update bench"
        )
    try:
        return Record.model_validate_json(text)
    except ValidationError as error:
        raise RecordError(f"{source} does not hold as a record: {sentences(error)}") from error


def sentences(error: ValidationError) -> str:
    """All faults of a validation error in one line: ``field: what is wrong; ...``."""
    faults = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"])
        what = "unknown field" if fault["type"] == "extra_forbidden" else fault["msg"]
        if isinstance(fault.get("input"), str | int | float | None) and fault["type"] != "extra_forbidden":
            what += f", not {fault['input']!r}"
        faults.append(f"{place}: {what}" if place else what)
    return "; ".join(faults)


_CONSTANTS = ("NaN", "Infinity")
"""What Python's and pydantic's JSON have and JSON has not."""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number; null means not measured")
