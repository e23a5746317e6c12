"""The Task contract: what a benchmark task says of itself and does. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from backbones.card import BackboneCard
from backbones.weights import Start

if TYPE_CHECKING:  # pydantic is slow to import, and listings do without
    from results.record import LoadReport, Metric, Selection, Tier


class MetricSpec(NamedTuple):
    """A metric that a task reports; the first of a task is its primary one."""

    name: str
    unit: str
    higher_is_better: bool


@dataclass(frozen=True)
class Request:
    """One cell that is asked for: backbone x task x protocol x seed; ``device`` is auto, cpu or cuda."""

    card: BackboneCard
    start: Start
    protocol: str
    tier: Tier
    seed: int
    overrides: tuple[str, ...]
    data_root: Path
    device: str
    allow_partial: bool = False


@dataclass(frozen=True)
class DataReport:
    """What ``check_data`` saw.

    Attributes:
        fingerprint: SHA-256 over content and split, 64 hexadecimal digits.
        splits: number of items by split.
        notes: what a reader should know (classes, sizes, licence).
    """

    fingerprint: str
    splits: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What will be done.

    Attributes:
        protocol_version: version of the protocol's file.
        config: the resolved configuration; everything in it can change the number.
        neutral: settings that cannot (loader processes, trackers).
        arguments: what the backbone is created with.
        expected: items that must be scored.
        steps: the phases, for people.
    """

    protocol_version: int
    config: Mapping[str, Any]
    neutral: Mapping[str, Any]
    arguments: Mapping[str, Any]
    expected: int
    steps: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """What a run gave; rows of ``items`` are one scored item each, in the order of ``columns``."""

    metrics: Mapping[str, Metric]
    columns: tuple[str, ...]
    items: Sequence[Sequence[str | int | float | None]]
    selection: Selection
    load_report: LoadReport | None
    checkpoint_format: str | None
    parameters: int
    phases: Mapping[str, float]


class Task(ABC):
    """A benchmark task. Modules that define one import torch only inside these methods."""

    name: ClassVar[str]
    domain: ClassVar[str]
    summary: ClassVar[str]
    protocols: ClassVar[tuple[str, ...]]
    metrics: ClassVar[tuple[MetricSpec, ...]]
    expected: ClassVar[Mapping[str, int]]

    @abstractmethod
    def check_data(self, root: Path) -> DataReport:
        """Verify the data under ``root``.

        Raises:
            DataError: naming the file and the mend.
        """

    @abstractmethod
    def plan(self, request: Request) -> Plan:
        """Resolve the protocol's configuration for a request; nothing is trained.

        Raises:
            ConfigError: listing every fault of the configuration.
        """

    @abstractmethod
    def run(self, request: Request, plan: Plan, out: Path) -> Outcome:
        """Train and evaluate in the folder ``out``; resumes from what is there."""
