"""The Task contract: what a benchmark task says of itself and does. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from backbones.card import BackboneCard
from backbones.weights import InitialWeights
from foundation.errors import UserError
from results.statistics.metric_statistics import MetricStatistic

if TYPE_CHECKING:  # pydantic and torch are slow to import, and listings do without
    from backbones.checkpoints.load_weights import LoadReport
    from backbones.create import CreatedBackbone
    from engine.seeding import GeneratorState
    from results.records.record import MetricValue, ModelSelection, Record, Tier


DecodeLevel = Literal["none", "sample", "all"]
"""How many files ``check_data`` opens: none (before each run), some of each split, or every one."""


class MetricSpec(NamedTuple):
    """A metric that a task reports; the first of a task is its primary one.

    Attributes:
        unit: ``%`` where the values lie from 0 to 100; then intervals end there, too.
        statistic: how the number follows from the per-item table. From it come the interval, the rank and what ``bench
            verify`` recomputes; without it the number is shown and never ranked.
    """

    name: str
    unit: str
    higher_is_better: bool
    statistic: MetricStatistic | None = None


@dataclass
class PreparedBackbone:
    """Holds the backbone that a request made ahead of its run, with where the generators stood after making it."""

    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    created: CreatedBackbone | None = None
    generators: GeneratorState | None = None


@dataclass(frozen=True)
class RunRequest:
    """One cell that is asked for: backbone x task x protocol x seed.

    A task gets its backbone from ``build_backbone``. It is made once in a run: what looks at it before the run (do the
    weights fit, what does it cost) gets the same one from ``prepare_backbone``.

    Attributes:
        start: its start weights.
        device: ``auto``, ``cpu`` or ``cuda``.
        allow_partial: accept weights that fill only a part of the backbone.
        data_scale: share of the training items that is used, above 0 to 1; drawn anew for each seed.
        prepared: shared by the copies that ``dataclasses.replace`` makes.
    """

    card: BackboneCard
    start: InitialWeights
    protocol: str
    tier: Tier
    seed: int
    overrides: tuple[str, ...]
    data_root: Path
    device: str
    allow_partial: bool = False
    data_scale: float = 1.0
    prepared: PreparedBackbone = field(default_factory=PreparedBackbone, repr=False, compare=False)

    def prepare_backbone(self, model_kwargs: Mapping[str, Any]) -> CreatedBackbone:
        """The backbone, made ahead and kept for the first ``build_backbone`` with the same arguments.

        Whoever looks at it leaves it as it is; to change it, copy it.

        Args:
            model_kwargs: see ``backbones.create.create_backbone``.

        Raises:
            CheckpointError: the weights do not fit.
            UserError: a size or argument that the architecture refuses.
        """
        from engine.seeding import get_generator_state

        held = self.prepared
        if held.created is None or held.model_kwargs != model_kwargs:
            held.model_kwargs, held.created = dict(model_kwargs), self._create_backbone(model_kwargs)
            held.generators = get_generator_state()
        return held.created

    def build_backbone(self, model_kwargs: Mapping[str, Any]) -> CreatedBackbone:
        """The backbone to work on; all random generators then stand where making it from the run's seed leaves them.

        So what is drawn next (the initial weights of a head) is the same, whether the backbone was made now or ahead.
        A second call makes a second one, equal to the first.

        Args and raises: see ``prepare_backbone``.
        """
        from engine.seeding import set_generator_state

        held = self.prepared
        created, generators = held.created, held.generators
        if created is None or generators is None or held.model_kwargs != model_kwargs:
            return self._create_backbone(model_kwargs)
        held.created = None  # from here on it belongs to the caller, who trains it
        self._seed_generators()  # those of GPUs too, which making a backbone on the CPU does not move
        set_generator_state(generators)
        return created

    def _create_backbone(self, model_kwargs: Mapping[str, Any]) -> CreatedBackbone:
        from backbones.create import create_backbone

        self._seed_generators()
        return create_backbone(self.card, checkpoint=self.start, allow_partial=self.allow_partial, **model_kwargs)

    def _seed_generators(self) -> None:
        from engine.seeding import derive_seed, seed_all

        seed_all(derive_seed(self.seed, 0))


@dataclass(frozen=True)
class DataReport:
    """What ``check_data`` saw.

    Attributes:
        fingerprint: SHA-256 over content and split, 64 hexadecimal digits.
        splits: number of items by split.
        notes: what a reader should know (classes, sizes, licence).
        deviations: how the data differ from the official set, a sentence each; empty where they are whole.
        class_counts: items by class name, by split; empty where labels are not one an item.
    """

    fingerprint: str
    splits: Mapping[str, int]
    notes: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    class_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class RunPlan:
    """What will be done.

    Attributes:
        protocol_version: version of the protocol's file.
        config: the resolved configuration; everything in it can change the number.
        non_identity_settings: settings that cannot (loader processes, loggers).
        backbone_kwargs: what the backbone is created with.
        num_expected_items: items that must be scored.
        steps: the phases, for people.
    """

    protocol_version: int
    config: Mapping[str, Any]
    non_identity_settings: Mapping[str, Any]
    backbone_kwargs: Mapping[str, Any]
    num_expected_items: int
    steps: tuple[str, ...]


@dataclass(frozen=True)
class TaskOutcome:
    """What a run gave; rows of ``item_rows`` are one scored item each, in the order of ``item_columns``.

    ``load_report``: of the start weights, as ``create_backbone`` gives it. ``details``: what else was measured, as
    plain data, for the record.
    """

    metrics: Mapping[str, MetricValue]
    item_columns: tuple[str, ...]
    item_rows: Sequence[Sequence[str | int | float | None]]
    selection: ModelSelection
    load_report: LoadReport | None
    checkpoint_format: str | None
    parameters: int
    phase_seconds: Mapping[str, float]
    details: Mapping[str, Any] = field(default_factory=dict)


class TaskImages(Protocol):
    """A split's images as network input: always the same pixels in the same order."""

    @property
    def labels(self) -> Sequence[int]:
        """Class of each image, from 0."""

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``images`` (3, S, S) normalised, ``labels`` and ``item`` of image ``index``."""

    def get_image_name(self, index: int) -> str:
        """What the image is called; equal names in one set of data are the same image."""

    def get_preprocessing(self) -> dict[str, Any]:
        """All that makes pixels of an image, as plain data."""


class Task(ABC):
    """A benchmark task. Modules that define one import torch only inside these methods."""

    name: str
    domain: str
    summary: str
    protocols: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    expected: Mapping[str, int]
    supports_data_scale = False  # whether protocols heed ``RunRequest.data_scale``

    @abstractmethod
    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Verify the data under ``root``: layout, counts, labels, and files as far as ``decode`` says.

        A set that is sound but not the official one whole (a cut, another split) passes with ``deviations``.

        Raises:
            DataError: naming the file and the mend.
        """

    def download_data(self, root: Path) -> None:
        """Download the data to ``root`` and check its sums, where that is possible.

        Raises:
            UserError: the set is fetched by hand; the sentence says from where and into which folder.
        """
        raise UserError(f"task {self.name} has nothing to download")

    @abstractmethod
    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Resolve the protocol's configuration for a request on the data found; nothing is trained.

        Raises:
            ConfigError: listing every fault of the configuration.
        """

    @abstractmethod
    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train and evaluate in the folder ``out``; resumes from what is there."""

    def load_images(self, root: Path, split: str, card: BackboneCard, img_size: int) -> TaskImages:
        """A split's images for a look inside a backbone: evaluation's pixels, squares of ``img_size``, never augmented.

        Raises:
            UserError: the task has no single images, or no such split.
        """
        raise UserError(f"task {self.name} offers no single images to look at; choose a classification task")

    def visualize_run(self, folder: Path, record: Record) -> list[Path]:
        """Pictures of a complete run, written below its folder; none where a task has nothing to draw.

        Raises:
            DataError: the data it was scored on are no longer there.
        """
        return []


def require_split(task: str, split: str, splits: Mapping[str, Any]) -> None:
    """Pass a split that the data have.

    Raises:
        UserError: naming those there are.
    """
    if split not in splits:
        raise UserError(f"task {task} has no split {split!r}; it has {', '.join(splits)}")
