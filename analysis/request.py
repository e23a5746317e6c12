"""Requests for analyses as typed objects. Imports neither torch nor pydantic, because ``bench --help`` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, get_args

if TYPE_CHECKING:
    from engine.data.data_options import DataOptions
    from engine.task import Task
    from results.records.record import Record, Tier

AnalysisKind = Literal["cka", "attention", "layers", "data-scale", "spectrum", "pca", "neighbours"]

ReadPoint = Literal["papers", "norm1", "attn", "mlp", "blocks"]
"""Where a backbone is read: ``papers`` means the output of ``norm1`` in each block and the final norm."""

READ_POINTS: tuple[ReadPoint, ...] = get_args(ReadPoint)

READ_POINT_WORDS: Mapping[ReadPoint, str] = {
    "papers": "input of the attention of each block (norm1), and the final norm",
    "norm1": "input of the attention of each block (norm1)",
    "attn": "output of the attention of each block",
    "mlp": "output of the MLP of each block",
    "blocks": "output of each block",
}
"""What each read point reads, for titles."""

DistanceUnit = Literal["patch", "papers"]
"""Pixels per grid step: the patch size of the backbone, or always 14 as in the papers' code."""

DISTANCE_UNITS: tuple[DistanceUnit, ...] = get_args(DistanceUnit)

LayersPart = Literal["probe", "finetune"]
"""The two parts of ``layers``: probes after each block, and fine-tuning from the first k blocks."""

LAYERS_PARTS: tuple[LayersPart, ...] = get_args(LayersPart)


@dataclass(frozen=True)
class BackboneChoice:
    """A backbone and its start weights as the user gave them.

    Attributes:
        name: registry name or ``timm/<name>``.
        checkpoint: weight file or ``"random"``; ``None`` for the weights of the card.
        weights_key: the weights to take from a file that holds several versions of them.
        mean, std: of each channel, for pixels in 0..1, in place of the card's; both or none.
    """

    name: str
    checkpoint: str | None = None
    weights_key: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class AnalysisRequest:
    """The fields that every analysis needs.

    Attributes:
        kind: which analysis; set by the class.
        task: the task whose images are analyzed, or on which the runs are done.
        data_root: folder of the data sets.
        out: the store; analyses are written to its folder ``analysis``.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        allow_partial: accept a checkpoint that fills only part of the backbone.
        allow_subset: accept data that are not the complete official set.
        hash_all: hash every byte of the data, also above 20 GB, where a sample is the default.
        data_options: how data of the user's own are laid out and labeled; ``None`` without options.
        force_new: repeat the analysis although a record exists; no cache is read.
        command_line: the words of the command, for the record.
    """

    kind: ClassVar[AnalysisKind]
    task: Task
    data_root: Path = Path("data")
    out: Path = Path("runs")
    device: str = "auto"
    allow_partial: bool = False
    allow_subset: bool = False
    hash_all: bool = False
    data_options: DataOptions | None = None
    force_new: bool = False
    command_line: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageRequest(AnalysisRequest):
    """An analysis of backbones on images of a task.

    Attributes:
        backbones: the backbones, in the order of figures and records.
        split: split of the task's data.
        num_images: number of images; ``None`` for 1,024, or all if there are fewer.
        img_size: side of the square input, pixels; ``None`` for the size on the card.
        seed: seed of random weights.
    """

    backbones: tuple[BackboneChoice, ...]
    split: str = "val"
    num_images: int | None = None
    img_size: int | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class CkaRequest(ImageRequest):
    """Similarity of the layers of two backbones; ``batch_size`` is the maximum number of images per batch."""

    kind = "cka"
    read_point: ReadPoint = "papers"
    batch_size: int = 128


@dataclass(frozen=True, kw_only=True)
class AttentionRequest(ImageRequest):
    """How far and how widely each head attends; attention maps are drawn for ``num_pictures`` images."""

    kind = "attention"
    distance_unit: DistanceUnit = "patch"
    num_pictures: int = 4


@dataclass(frozen=True, kw_only=True)
class SpectrumRequest(ImageRequest):
    """Spectrum and effective rank of pooled features."""

    kind = "spectrum"


@dataclass(frozen=True, kw_only=True)
class PcaRequest(ImageRequest):
    """Principal components of patch features; all ``num_images`` images are drawn."""

    kind = "pca"


@dataclass(frozen=True, kw_only=True)
class NeighboursRequest(ImageRequest):
    """Nearest images by pooled features: ``num_neighbours`` for each of ``num_queries`` query images."""

    kind = "neighbours"
    num_queries: int = 6
    num_neighbours: int = 7


@dataclass(frozen=True)
class AnalysisCell:
    """One run that an analysis uses; task, protocol and all other settings come from the request.

    Attributes:
        choice: the backbone and its start weights.
        seed: seed of the run.
        data_scale: fraction of the training items, above 0 and at most 1.
        allow_partial: accept start weights that fill only part of the backbone.
    """

    choice: BackboneChoice
    seed: int
    data_scale: float
    allow_partial: bool


class CellAnswer(Protocol):
    """A finished run: its record, and whether the record existed before."""

    @property
    def record(self) -> Record:
        """The record of the complete run."""

    @property
    def from_record(self) -> bool:
        """Whether nothing had to be computed."""


class RunCell(Protocol):
    """A function that does a run or finds its record.

    The caller passes it in, because ``benchmarks.run_cell`` is in a layer above this package and cannot be imported
    here.
    """

    def __call__(self, cell: AnalysisCell, /) -> CellAnswer:
        """Return the finished run of ``cell``."""


@dataclass(frozen=True, kw_only=True)
class RunsRequest(AnalysisRequest):
    """An analysis of the results of runs.

    Attributes:
        run_cell: does one run with the task, protocol, tier and overrides of this request.
        protocol: protocol of the runs; ``None`` for the first protocol of the task.
        tier: tier of the runs.
        seeds: seeds of the runs; one run per seed.
        data_scales: fractions of the training items, each above 0 and at most 1; one run per fraction.
        overrides: changes to the configuration of the protocol, ``KEY=VALUE``.
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
        backbone: the backbone to analyze.
        protocol: protocol of the fine-tuning runs.
        parts: which parts of the analysis to do.
        first_blocks: values of k, the number of pre-trained blocks to keep; ``None`` for quarters of the depth.
    """

    kind = "layers"
    backbone: BackboneChoice
    protocol: str = "finetune"
    parts: tuple[LayersPart, ...] = LAYERS_PARTS
    first_blocks: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class DataScaleRequest(RunsRequest):
    """Transfer against the amount of data: one curve per backbone."""

    kind = "data-scale"
    backbones: tuple[BackboneChoice, ...]
