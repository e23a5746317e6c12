"""The record: one strict, versioned JSON for one cell (backbone x task x protocol x seed).

Rules: an unknown field is an error; a newer schema is an error that says so; ``null`` means "not measured"
and is never 0.0; metrics stand in a record only when the run is complete.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from foundation.errors import RecordError
from results.records.schema_upgrade import upgrade_record
from results.statistics.metric_statistics import MetricStatistic, StatisticKind

SCHEMA_VERSION = 4
"""1: the first schema. 2: ``data.deviations`` (a cut set is no official one) and ``non_identity_settings``.
3: ``cost.efficiency``. 4: other names for some fields, under which older records are read (``schema_upgrade``), and
``statistic`` of a metric; that of older records is in ``legacy_statistics``."""

PRETRAINING_DOMAIN = "pretraining"
"""The domain whose records are on no board: a pre-training loss compares with nothing (docs/decisions/0006). Their
per-item table is the curve."""

CONFIDENCE_LEVEL = 0.95
"""Of every interval and of every claim that two numbers differ."""

Tier = Literal["smoke", "short", "full"]
TIER_ORDER: tuple[Tier, ...] = ("full", "short", "smoke")
"""The order in which tiers are shown."""

RunStatus = Literal["running", "complete", "failed", "invalidated"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def _require_finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("must be a finite number; use null for what was not measured")
    return value


FiniteFloat = Annotated[float, AfterValidator(_require_finite)]


class StrictModel(BaseModel):
    """Base of all parts of a record: frozen, no unknown fields, no silent conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ConfidenceInterval(StrictModel):
    """A confidence interval of a metric, in the metric's unit; ``resampling_unit`` says what was resampled."""

    low: FiniteFloat
    high: FiniteFloat
    level: FiniteFloat = CONFIDENCE_LEVEL
    method: str
    resampling_unit: str


class StatisticRecord(StrictModel):
    """How a metric follows from the per-item table; ``MetricStatistic`` explains the fields."""

    kind: StatisticKind
    columns: list[str]
    function: str | None = None
    text_columns: list[str] = []

    @classmethod
    def from_statistic(cls, statistic: MetricStatistic) -> StatisticRecord:
        """What a record keeps of a task's declaration."""
        return cls(
            kind=statistic.kind,
            columns=list(statistic.columns),
            function=statistic.function,
            text_columns=list(statistic.text_columns),
        )

    def to_statistic(self) -> MetricStatistic:
        """The declaration again."""
        return MetricStatistic(self.kind, tuple(self.columns), self.function, tuple(self.text_columns))

    @model_validator(mode="after")
    def _check_fields_fit(self) -> StatisticRecord:
        self.to_statistic()  # it refuses fields that do not fit the kind
        return self


class MetricValue(StrictModel):
    """One measured value.

    Attributes:
        n: items (images, sequences) it was taken over.
        statistic: how the value follows from the per-item table; ``None``: it does not, and is never ranked, or the
            record is of a schema before 4.
    """

    value: FiniteFloat
    unit: str
    higher_is_better: bool
    n: int
    interval: ConfidenceInterval | None = None
    statistic: StatisticRecord | None = None


class LoadReportRecord(StrictModel):
    """What became of a checkpoint's tensors, by name; ``matched_fraction`` is of the trunk's elements, 0 to 1."""

    matched: int
    resized: list[str]
    missing: list[str]
    unexpected: list[str]
    dropped: list[str]
    matched_fraction: FiniteFloat
    notes: list[str] = []

    @classmethod
    def from_report(cls, report: Any) -> LoadReportRecord:
        """From the loader's own report, a dataclass of the same fields (of a room that this one does not import)."""
        return cls(**asdict(report))


class StartCheckpoint(StrictModel):
    """The weight file a run started from; format and report are known once it was loaded.

    For a module from memory ``uri`` is ``memory:NAME``, and the rest is of its tensors.
    """

    uri: str
    sha256: Sha256
    bytes: int
    format: str | None = None
    load_report: LoadReportRecord | None = None


class BackboneRecord(StrictModel):
    """What was plugged in: the card as resolved, how it was initialised, and from which file."""

    name: str
    card: dict[str, Any]
    arguments: dict[str, Any]
    init: Literal["random", "card", "checkpoint", "memory"]
    checkpoint: StartCheckpoint | None = None
    allow_partial: bool = False
    parameters: int | None = None


class DatasetRecord(StrictModel):
    """The data as seen: fingerprint over content and split, items of each split, how they differ from the official."""

    fingerprint: Sha256
    splits: dict[str, int]
    deviations: list[str] = []


class ItemsFile(StrictModel):
    """Per-item outcomes: a CSV beside the record and its hash."""

    file: str
    sha256: Sha256
    rows: int


class ModelSelection(StrictModel):
    """How the reported weights were chosen; never on the test split."""

    split: Literal["val", "none"]
    metric: str
    candidates: int
    chosen: str
    value: FiniteFloat | None = None


class RunResult(StrictModel):
    """The outcome of a complete run; ``details``: what else the task measured (cross-checks, values by class)."""

    metrics: dict[str, MetricValue]
    primary_metric: str
    items: ItemsFile
    selection: ModelSelection
    details: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_primary_metric(self) -> RunResult:
        if self.primary_metric not in self.metrics:
            raise ValueError(f"primary metric {self.primary_metric!r} is not among the metrics")
        return self


class TimingSamples(StrictModel):
    """Single forward passes of ``batch`` images, milliseconds, in the order they were timed."""

    batch: int
    raw_ms: list[FiniteFloat] = Field(min_length=1)

    @property
    def median_ms(self) -> float:
        """Milliseconds of the middle pass; one slow pass does not move it."""
        return median(self.raw_ms)


class EfficiencyRecord(StrictModel):
    """What the backbone (with the classifier it was trained with, if any) costs at the run's input size.

    Counts are per image; MACs include attention products. ``latency`` is at batch 1; ``chip``, ``threads``,
    ``runtime`` and ``precision`` say of what the times are, and are there when the times are.
    """

    img_size: list[int]
    parameters: int
    macs: int
    macs_without_attention: int
    activations: int
    latency: TimingSamples | None = None
    throughput: TimingSamples | None = None
    chip: str | None = None
    threads: int | None = None
    runtime: str | None = None
    precision: str | None = None


class RunCost(StrictModel):
    """What the run cost. ``phases`` in seconds, over all attempts; memory is this process's peak."""

    phases: dict[str, FiniteFloat]
    peak_memory_mib: FiniteFloat | None = None
    attempts: int = 1
    efficiency: EfficiencyRecord | None = None


class RunEnvironment(StrictModel):
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


class Record(StrictModel):
    """One cell of the leaderboard; see the module's rules.

    ``non_identity_settings`` are those that cannot change the number.
    """

    schema_version: Literal[1, 2, 3, 4] = 4
    run_id: str
    comparability: str
    status: RunStatus
    reason: str | None = None
    tier: Tier
    done: int
    expected: int
    task: str
    domain: str
    protocol: str
    protocol_version: int
    seed: int
    backbone: BackboneRecord
    config: dict[str, Any]
    non_identity_settings: dict[str, Any] = {}
    data: DatasetRecord
    result: RunResult | None = None
    cost: RunCost | None = None
    environment: RunEnvironment

    @property
    def start_sha256(self) -> str:
        """Of the weight file that the run started from; empty where it started from random weights."""
        return self.backbone.checkpoint.sha256 if self.backbone.checkpoint else ""

    @model_validator(mode="after")
    def _check_status_consistency(self) -> Record:
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


def parse_record(text: str, origin: str) -> Record:
    """Read a record from JSON text.

    Args:
        text: the JSON.
        origin: where it came from, for the message.

    Raises:
        RecordError: not JSON, a newer schema, an unknown field, or a rule broken; one sentence.
    """
    if not any(word in text for word in _NON_JSON_CONSTANTS):  # the way of nearly all records: parsed once
        try:
            return Record.model_validate_json(text)
        except ValidationError:
            pass  # said below, in the order that helps most
    try:
        content = json.loads(text, parse_constant=_reject_constant)
    except ValueError as error:
        raise RecordError(f"{origin} is not a record: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("schema_version"), int):
        raise RecordError(f"{origin} is not a record: it has no schema_version")
    version = content["schema_version"]
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{origin} has schema version {version}, this bench reads up to {SCHEMA_VERSION}; update bench"
        )
    try:
        return Record.model_validate_json(json.dumps(upgrade_record(content)) if version < SCHEMA_VERSION else text)
    except ValidationError as error:
        raise RecordError(f"{origin} does not hold as a record: {format_validation_errors(error)}") from error


def format_validation_errors(error: ValidationError) -> str:
    """All faults of a validation error in one line: ``field: what is wrong; ...``."""
    faults = []
    for fault in error.errors():
        place = ".".join(str(part) for part in fault["loc"])
        what = "unknown field" if fault["type"] == "extra_forbidden" else fault["msg"]
        if isinstance(fault.get("input"), str | int | float | None) and fault["type"] != "extra_forbidden":
            what += f", not {fault['input']!r}"
        faults.append(f"{place}: {what}" if place else what)
    return "; ".join(faults)


_NON_JSON_CONSTANTS = ("NaN", "Infinity")
"""What Python's and pydantic's JSON have and JSON has not."""


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number; null means not measured")
