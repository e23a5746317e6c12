"""The schema of a record: one strict, versioned JSON file per run (backbone x task x protocol x seed).

Rules:

- An unknown field is an error. A newer schema version is an error that says so.
- ``null`` means "not measured". It is never written as 0.0.
- A record holds metrics only if its run is complete.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from foundation.display_text import escape_controls
from foundation.errors import RecordError
from results.records.identity import AS_IS
from results.records.measurements import Count, RunCost, RunEnvironment
from results.records.schema_upgrade import upgrade_record
from results.records.strict_model import (
    FileName,
    FiniteFloat,
    Integer,
    Name,
    PlainSettings,
    StrictModel,
    format_validation_errors,
    load_json,
)
from results.statistics.metric_statistics import MetricStatistic, StatisticKind

SCHEMA_VERSION = 8
"""The schema version that is written.

1: the first schema.
2: adds ``data.deviations`` (so that a shortened data set does not pass for the official one) and
   ``non_identity_settings``.
3: adds ``cost.efficiency``.
4: renames some fields (``schema_upgrade`` reads older records under the new names) and adds ``statistic`` to metrics
   (``legacy_statistics`` has the statistics of older records).
5: adds ``backbone.model`` and ``task_source`` (digests of the model as built and of a plug-in task's code, part of the
   id where they are present), ``data.coverage``, ``data.duplicates`` and ``earlier_attempts``.
6: adds ``changed_settings``, and to ``cost.efficiency`` the load of the machine (``load_average``, ``other_load``,
   ``processors``).
7: adds what is known of start weights (``weights_key``, ``loading_fixes``) and the label of a row.
8: adds ``data.options``, part of the id where they are present, ``environment.image_decoder`` and
   ``environment.memory_allocator``.
"""

PRETRAINING_DOMAIN = "pretraining"
"""The domain whose records are not on any board, because pre-training losses of different methods cannot be compared
(docs/decisions/0006). The per-item table of such a record is the training curve."""

ARTIFACT_BYTES = "artifact_bytes"
"""Entry of a result's details: the bytes of the files of the exported model that was scored."""

CONFIDENCE_LEVEL = 0.95
"""The confidence level of every interval, and of every claim that two numbers differ."""

Tier = Literal["smoke", "short", "full"]
TIER_ORDER: tuple[Tier, ...] = ("full", "short", "smoke")
"""The order in which tiers are displayed."""

RunStatus = Literal["running", "complete", "failed", "invalidated"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ConfidenceInterval(StrictModel):
    """A confidence interval of a metric.

    Attributes:
        low, high, level: the ends of the interval, in the metric's unit, and its confidence level, 0 to 1.
        method: how the interval was computed, for example ``wilson``.
        resampling_unit: what varies under the interval's claim, for example ``images`` or ``seeds x items``.
    """

    low: FiniteFloat
    high: FiniteFloat
    level: FiniteFloat = Field(default=CONFIDENCE_LEVEL, gt=0, lt=1)
    method: Name
    resampling_unit: Name


class StatisticRecord(StrictModel):
    """How a metric is computed from the per-item table; ``MetricStatistic`` explains the fields."""

    kind: StatisticKind
    columns: list[str]
    function: str | None = None
    text_columns: list[str] = Field(default=[])

    @classmethod
    def from_statistic(cls, statistic: MetricStatistic) -> StatisticRecord:
        """Convert a task's declaration to the form that a record stores."""
        return cls(
            kind=statistic.kind,
            columns=list(statistic.columns),
            function=statistic.function,
            text_columns=list(statistic.text_columns),
        )

    def to_statistic(self) -> MetricStatistic:
        """Convert the stored form back to the declaration."""
        return MetricStatistic(self.kind, tuple(self.columns), self.function, tuple(self.text_columns))

    @model_validator(mode="after")
    def _check_fields_fit(self) -> StatisticRecord:
        self.to_statistic()  # its constructor raises ValueError if the fields do not fit the kind
        return self


class MetricValue(StrictModel):
    """One measured value of a metric.

    Attributes:
        value, unit: the value in its unit, for example ``%``; the unit of a plain number is empty.
        n: number of items (images, sequences) over which the value was measured.
        statistic: how the value is computed from the per-item table. ``None`` if it cannot be computed from it (such a
            metric is never ranked), and in records of schema versions before 4.
    """

    value: FiniteFloat
    unit: Name
    higher_is_better: bool
    n: Count
    interval: ConfidenceInterval | None = None
    statistic: StatisticRecord | None = None


class LoadReportRecord(StrictModel):
    """What happened to the tensors of a checkpoint when it was loaded, listed by name.

    Attributes:
        matched: number of tensors that were loaded.
        resized: tensors that were interpolated to the model's size.
        missing: tensors of the model that the checkpoint does not have.
        unexpected: tensors of the checkpoint that the model does not have.
        dropped: tensors of the checkpoint that were left out on purpose.
        matched_fraction: fraction of the trunk's elements that were loaded, 0 to 1.
        notes: further remarks of the loader.
    """

    matched: Count
    resized: list[str]
    missing: list[str]
    unexpected: list[str]
    dropped: list[str]
    matched_fraction: FiniteFloat
    notes: list[str] = Field(default=[])

    @classmethod
    def from_report(cls, report: Any) -> LoadReportRecord:
        """Convert the report of the checkpoint loader, a dataclass with the same fields.

        Its type is ``Any`` because this package does not import ``backbones``.
        """
        return cls(**asdict(report))


class StartCheckpoint(StrictModel):
    """The weight file from which a run started; ``format`` and ``load_report`` are set once the file was loaded.

    For a module from memory, ``uri`` is ``memory:NAME`` and the other fields describe the module's tensors.
    ``weights_key`` names the weights that were taken from a file that holds several versions of them (a running
    average, for example), and is part of the identity; it is ``None`` where the file's plain weights were taken.
    ``loading_fixes`` names the corrections of bench's loading that changed the number of exactly this run; it is part
    of the identity, too.
    """

    uri: Name
    sha256: Sha256  # the content identifies the weights; the uri only says where they were
    bytes: Count
    weights_key: Name | None = None
    loading_fixes: list[str] = Field(default=[])
    format: str | None = None
    load_report: LoadReportRecord | None = None


class BackboneRecord(StrictModel):
    """The backbone of a run: its card with all defaults resolved, how it was initialized, and from which file.

    ``label`` is the name that the user gave the row for display; it is not part of the identity.
    """

    name: Name
    label: Name | None = None
    card: PlainSettings
    arguments: PlainSettings
    # random weights, the card's weights, a file named by the user, or a module that the user passed in memory
    init: Literal["random", "card", "checkpoint", "memory"]
    checkpoint: StartCheckpoint | None = None
    allow_partial: bool = False  # whether --allow-partial accepted a checkpoint without all tensors of the trunk
    parameters: Count | None = None
    # digests of the model as built, by kind (structure; for plug-ins also attributes and source); None in records of
    # schema versions before 5
    model: dict[str, str] | None = None


class DatasetRecord(StrictModel):
    """The data that the run used.

    Attributes:
        fingerprint: SHA-256 over the content of the data and their split.
        splits: number of items by split.
        deviations: how the data differ from the official set, one phrase each; empty for the official set.
        coverage: which bytes the fingerprint covers, in words; ``None`` in records of schema versions before 5, whose
            fingerprint of image files covered their names and sizes only.
        duplicates: items whose content is in two splits, which the user allowed; one sentence each.
        options: what the user said of the layout of the data (``--layout``, ``--exclude`` ...); empty without.
    """

    fingerprint: Sha256
    splits: dict[str, Count]
    deviations: list[str] = Field(default=[])
    coverage: str | None = None
    duplicates: list[str] = Field(default=[])
    options: PlainSettings = Field(default={})


class ItemsFile(StrictModel):
    """The per-item outcomes: a CSV file in the record's folder, its SHA-256 and its number of rows."""

    file: FileName
    sha256: Sha256
    rows: Count


class ModelSelection(StrictModel):
    """How the evaluated weights or hyperparameters were chosen; never on the test split.

    Attributes:
        split, metric: where and by what the candidates were compared; ``none`` if there was nothing to choose.
        candidates: number of candidates.
        chosen, value: the chosen candidate and its value of ``metric`` on ``split``.
    """

    split: Literal["val", "none"]
    metric: Name
    candidates: Count
    chosen: str
    value: FiniteFloat | None = None


class RunResult(StrictModel):
    """The outcome of a complete run; ``details`` has what else the task measured (cross-checks, values per class)."""

    metrics: dict[Name, MetricValue]
    primary_metric: Name
    items: ItemsFile
    selection: ModelSelection
    details: PlainSettings = Field(default={})

    @model_validator(mode="after")
    def _check_primary_metric(self) -> RunResult:
        if self.primary_metric not in self.metrics:
            raise ValueError(f"primary metric {self.primary_metric!r} is not among the metrics")
        return self


class Record(StrictModel):
    """The record of one run; the module's docstring has the rules.

    Attributes:
        schema_version: the version under which the record was written.
        run_id: digest of everything that can change the number; see ``results.records.identity``.
        comparability: digest of what has to be equal for two runs to share a board.
        reason: why the run failed or was invalidated.
        done, expected: number of items that were scored, and number that the task requires.
        config: the recipe and what the task added to it; part of the identity.
        changed_settings: dotted names of the settings of ``config["recipe"]`` that differ from the protocol's file at
            this tier. Not part of the identity, because it follows from the settings. ``None`` in records of schema
            versions before 6.
        non_identity_settings: settings that cannot change the number, for example the number of workers.
        task_source: digest of the code of a plug-in task; ``None`` for bench's own tasks, whose code is guarded by
            pinned numbers.
        earlier_attempts: where and how the run was made before it was interrupted, oldest first; ``environment`` is the
            last attempt's.
    """

    schema_version: Literal[1, 2, 3, 4, 5, 6, 7, 8] = 8  # an upgraded record keeps the version that it was written with
    run_id: Name
    comparability: Name
    status: RunStatus
    reason: str | None = None
    tier: Tier
    done: Count
    expected: Count
    task: Name
    domain: Name
    protocol: Name
    protocol_version: Integer
    seed: Integer
    backbone: BackboneRecord
    config: PlainSettings
    changed_settings: list[str] | None = None
    non_identity_settings: PlainSettings = Field(default={})
    task_source: str | None = None
    data: DatasetRecord
    result: RunResult | None = None
    cost: RunCost | None = None
    environment: RunEnvironment
    earlier_attempts: list[RunEnvironment] = Field(default=[])

    @property
    def start_sha256(self) -> str:
        """Return the SHA-256 of the weights from which the run started, or "" for random weights."""
        return self.backbone.checkpoint.sha256 if self.backbone.checkpoint else ""

    @property
    def is_evaluation(self) -> bool:
        """Return whether a finished model was evaluated as it is, so that no training has a part in the number."""
        return self.protocol == AS_IS

    @field_validator("config")
    @classmethod
    def _require_group_of_settings(cls, config: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(config.get("recipe", {}), dict):
            raise ValueError("recipe must be a group of settings")
        return config

    @model_validator(mode="after")
    def _check_status_consistency(self) -> Record:
        if self.status == "complete":
            if self.result is None:
                raise ValueError("a complete record needs its result")
            # a score over fewer items is a different number: 279 of 280 videos are not the benchmark
            if self.done != self.expected:
                raise ValueError(f"complete, but {self.done} of {self.expected} items were scored")
        # an invalidated run keeps its numbers, so that a reader can see what was withdrawn and why
        elif self.status != "invalidated" and self.result is not None:
            raise ValueError(f"a {self.status} record may not hold metrics")
        if self.status in ("failed", "invalidated") and not self.reason:
            raise ValueError(f"a {self.status} record needs its reason")
        return self


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def dump_record(record: Record) -> str:
    """Return the record as JSON text with an indent of two spaces; ``NaN`` is refused."""
    text = json.dumps(record.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False)
    # a byte of a path that is not UTF-8: half of a character, which no reader of JSON accepts, so its code as text
    text = _LONE_SURROGATE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)
    return escape_controls(text) + "\n"


def parse_record(text: str, origin: str) -> Record:
    """Read a record from JSON text.

    Args:
        text: the JSON.
        origin: where the text came from, for error messages.

    Raises:
        RecordError: the text is not JSON, has a newer schema version or an unknown field, or breaks a rule of the
            schema. The message lists all faults in one sentence.
    """
    # Fast path for nearly all records: pydantic parses and validates in one pass. It accepts NaN and Infinity, which
    # JSON does not have, so a text with one of these words takes the strict path below.
    if not any(word in text for word in _NON_JSON_CONSTANTS):
        try:
            record = Record.model_validate_json(text)
        except ValidationError:
            pass  # an older schema, or a fault that is reported below, the most helpful one first
        else:
            # a file without its version would be read under today's names, whatever it meant by them
            if "schema_version" in record.model_fields_set:
                return record
    try:
        content = load_json(text, _reject_constant)
    except ValueError as error:
        raise RecordError(f"{origin} is not a record: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("schema_version"), int):
        raise RecordError(f"{origin} is not a record: it has no schema_version")
    version = content["schema_version"]
    # check the version before the fields: a list of "unknown field" would hide that bench is too old
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{origin} has schema version {version}, this bench reads up to {SCHEMA_VERSION}; update bench"
        )
    try:
        return Record.model_validate_json(json.dumps(upgrade_record(content)) if version < SCHEMA_VERSION else text)
    except ValidationError as error:
        raise RecordError(f"{origin} is not a valid record: {format_validation_errors(error)}") from error


_NON_JSON_CONSTANTS = ("NaN", "Infinity")
"""Constants that the JSON parsers of Python and pydantic accept although JSON does not have them."""


def _reject_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number; null means not measured")
