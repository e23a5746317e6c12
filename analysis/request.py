"""What an analysis is asked for, as typed objects. Imports neither torch nor pydantic: ``bench --help`` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, get_args

if TYPE_CHECKING:
    from engine.task import Task
    from results.records.record import Record, Tier

AnalysisKind = Literal["cka", "attention", "layers", "data-scale", "spectrum", "pca", "neighbours"]

ReadPoint = Literal["papers", "norm1", "attn", "mlp", "blocks"]
"""Where a backbone is read: ``papers`` is the first norm's output in each block and the final normed output."""

READ_POINTS: tuple[ReadPoint, ...] = get_args(ReadPoint)

DistanceUnit = Literal["patch", "papers"]
"""Pixels of a grid step: those of the backbone's patch, or 14 as in the papers' code, whatever the patch."""

DISTANCE_UNITS: tuple[DistanceUnit, ...] = get_args(DistanceUnit)

LayersPart = Literal["probe", "finetune"]
"""The two halves of ``layers``: probes after each block, and fine-tuning from the first k blocks."""

LAYERS_PARTS: tuple[LayersPart, ...] = get_args(LayersPart)


@dataclass(frozen=True)
class BackboneChoice:
    """A backbone and its start weights as the user named them.

    Attributes:
        name: registry name or ``timm/<name>``.
        checkpoint: weight file or ``"random"``; ``None`` for what the card says.
    """

    name: str
    checkpoint: str | None = None


@dataclass(frozen=True, kw_only=True)
class AnalysisRequest:
    """What every analysis needs.

    Attributes:
        kind: which analysis; fixed by the class.
        task: whose images, or on which task the runs are made.
        data_root: folder of the data sets.
        out: the store; analyses go to its folder ``analysis``.
        device: ``auto``, ``cpu`` or ``cuda``.
        allow_partial: accept a checkpoint that fills only a part of the backbone.
        allow_subset: accept data that are not the whole official set.
        force_new: do the analysis again although a record answers it.
        command_line: for the record.
    """

    kind: ClassVar[AnalysisKind]
    task: Task
    data_root: Path = Path("data")
    out: Path = Path("runs")
    device: str = "auto"
    allow_partial: bool = False
    allow_subset: bool = False
    force_new: bool = False
    command_line: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageRequest(AnalysisRequest):
    """An analysis of backbones on images of a task.

    Attributes:
        backbones: in the order they are named in figures and records.
        split: of the task's data.
        num_images: how many; ``None`` for 1,024, or all where there are fewer.
        img_size: side of the input in pixels; ``None`` for the card's own.
        seed: of random weights.
    """

    backbones: tuple[BackboneChoice, ...]
    split: str = "val"
    num_images: int | None = None
    img_size: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class CkaRequest(ImageRequest):
    """How alike the layers of two backbones are; ``batch_size`` in images."""

    kind = "cka"
    read_point: ReadPoint = "papers"
    batch_size: int = 128


@dataclass(frozen=True, kw_only=True)
class AttentionRequest(ImageRequest):
    """How far and how widely each head attends; ``num_pictures`` images have their attention maps drawn."""

    kind = "attention"
    distance_unit: DistanceUnit = "patch"
    num_pictures: int = 4


@dataclass(frozen=True, kw_only=True)
class SpectrumRequest(ImageRequest):
    """Spectrum and effective rank of pooled features."""

    kind = "spectrum"


@dataclass(frozen=True, kw_only=True)
class PcaRequest(ImageRequest):
    """Principal components of patch features; every one of the ``num_images`` images is drawn."""

    kind = "pca"


@dataclass(frozen=True, kw_only=True)
class NeighboursRequest(ImageRequest):
    """Nearest images by pooled features: ``num_neighbours`` for each of ``num_queries`` query images."""

    kind = "neighbours"
    num_queries: int = 6
    num_neighbours: int = 7


@dataclass(frozen=True)
class AnalysisCell:
    """One run that an analysis is made of; task, protocol and all the rest are those of the request.

    Attributes:
        choice: backbone and start weights.
        seed: of the run.
        data_scale: share of the training items, above 0 to 1.
        allow_partial: accept start weights that fill only a part of the backbone.
    """

    choice: BackboneChoice
    seed: int
    data_scale: float
    allow_partial: bool


class CellAnswer(Protocol):
    """A run as done: its record, and whether the record was there already."""

    @property
    def record(self) -> Record:
        """The record of the complete run."""

    @property
    def from_record(self) -> bool:
        """Whether nothing had to be computed."""


class RunCell(Protocol):
    """Does a run or finds it done. It is handed in: what runs cells stands above this room."""

    def __call__(self, cell: AnalysisCell, /) -> CellAnswer:
        """The run of ``cell``."""


@dataclass(frozen=True, kw_only=True)
class RunsRequest(AnalysisRequest):
    """An analysis that is made of runs.

    Attributes:
        run_cell: does one run of this request's task, protocol, tier and overrides.
        protocol: ``None`` for the task's first.
        tier: of the runs.
        seeds: one run each.
        data_scales: shares of the training items, above 0 to 1; one run each.
        overrides: changes to the protocol's configuration, ``KEY=VALUE``.
    """

    run_cell: RunCell
    protocol: str | None = None
    tier: Tier = "full"
    seeds: tuple[int, ...] = (0,)
    data_scales: tuple[float, ...] = (1.0,)
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LayersRequest(RunsRequest):
    """Which layers matter.

    Attributes:
        backbone: the one whose layers are looked at.
        parts: one half of the analysis or both.
        first_blocks: numbers of pre-trained blocks to keep; ``None`` for quarters of the depth.
    """

    kind = "layers"
    backbone: BackboneChoice
    protocol: str = "finetune"
    parts: tuple[LayersPart, ...] = LAYERS_PARTS
    first_blocks: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class DataScaleRequest(RunsRequest):
    """Transfer against the amount of data: one curve for each of ``backbones``."""

    kind = "data-scale"
    backbones: tuple[BackboneChoice, ...]
