"""The Task contract: what a benchmark task declares and which methods it implements. Imports no torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from backbones.card import BackboneCard
from backbones.weights import InitialWeights
from foundation.errors import UserError
from results.statistics.metric_statistics import MetricStatistic

if TYPE_CHECKING:  # pydantic and torch are slow to import, and commands such as ``bench list`` do not need them
    from backbones.checkpoints.load_weights import LoadReport
    from backbones.create import CreatedBackbone
    from backbones.model_digest import ModelDigest
    from engine.data.task_images import TaskImages
    from engine.evaluation.contract import Evaluation
    from engine.evaluation.model_source import ModelSource
    from engine.seeding import GeneratorState
    from engine.summary.data_summary import DataSummary
    from results.records.picture_manifest import DrawnPicture
    from results.records.record import MetricValue, ModelSelection, Record, Tier


DecodeLevel = Literal["none", "sample", "all"]
"""How many files ``check_data`` decodes: none (before each run), a sample of each split, or every file."""

ControlKind = Literal["intact", "labels_only", "shuffled_labels", "noise_images"]
"""The runs that ``bench check task NAME --controls`` compares, see ``Task.make_control``."""


class MetricSpec(NamedTuple):
    """A metric that a task reports. The first metric of a task is its primary metric.

    Attributes:
        name: as it is stored in records.
        unit: ``%`` for values from 0 to 100; confidence intervals are then cut off at 0 and 100.
        higher_is_better: whether a larger value is better.
        statistic: how the value is computed from the per-item table. The confidence interval, the rank and the check
            by ``bench verify`` use it; a metric without it is displayed but never ranked.
    """

    name: str
    unit: str
    higher_is_better: bool
    statistic: MetricStatistic | None = None


@dataclass
class PreparedBackbone:
    """The backbone that a request created before its run, and the generator states right after its creation.

    Attributes:
        model_kwargs: arguments with which it was created.
        created: the backbone; ``None`` before it is created and after ``build_backbone`` has handed it out.
        generators: states of the random generators right after the creation.
    """

    model_kwargs: Mapping[str, Any] = field(default_factory=dict)
    created: CreatedBackbone | None = None
    generators: GeneratorState | None = None


@dataclass(frozen=True)
class RunRequest:
    """One requested cell: backbone x task x protocol x seed.

    A task gets its backbone from ``build_backbone``. The backbone is created only once per run: checks before the run
    (whether the weights fit, what it costs) get the same object from ``prepare_backbone``.

    Attributes:
        card: the backbone's card.
        start: the backbone's start weights.
        protocol: name of the protocol.
        tier: ``smoke``, ``short`` or ``full``.
        seed: the run's seed.
        overrides: ``key=value`` texts of ``--set``.
        data_root: folder that contains the data sets.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        allow_partial: accept weights that fill only a part of the backbone.
        data_scale: fraction of the training items to use, above 0 and at most 1; each seed draws another subset.
        reads_weights: whether weight files may be asked for. ``False`` plans a run from its record alone, on a machine
            that may not have them: the plan then says nothing of a teacher.
        run_id: id of the run, which its training checkpoints carry; "" outside of a run.
        prepared: the backbone created ahead; copies made with ``dataclasses.replace`` share it.
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
    reads_weights: bool = True
    run_id: str = ""
    prepared: PreparedBackbone = field(default_factory=PreparedBackbone, repr=False, compare=False)

    def prepare_backbone(self, model_kwargs: Mapping[str, Any]) -> CreatedBackbone:
        """Create the backbone ahead and store it for the first ``build_backbone`` with the same arguments.

        The caller must not change the returned model; copy it first to change it.

        Args:
            model_kwargs: see ``backbones.create.create_backbone``.

        Raises:
            CheckpointError: the weights do not fit.
            UserError: the architecture refuses a size or an argument.
        """
        from engine.seeding import get_generator_state

        held = self.prepared
        if held.created is None or held.generators is None or held.model_kwargs != model_kwargs:
            held.model_kwargs, held.created = dict(model_kwargs), self._create_backbone(model_kwargs)
            # Creating a model draws random weights; build_backbone restores the state that follows these draws.
            held.generators = get_generator_state()
        else:  # what a caller draws next does not depend on whether the backbone was created before
            self._restore_generators(held.generators)
        return held.created

    def describe_model(self, model_kwargs: Mapping[str, Any]) -> ModelDigest:
        """Describe the backbone as it is built, for the run's id; it is created only if no cache knows its digest.

        Args:
            model_kwargs: see ``backbones.create.create_backbone``, whose errors it raises.
        """
        from backbones.model_digest import describe_model

        return describe_model(self.card, model_kwargs, lambda: self.prepare_backbone(model_kwargs).model)

    def build_backbone(self, model_kwargs: Mapping[str, Any]) -> CreatedBackbone:
        """Return the backbone to train, and set all random generators to their state after its creation.

        The numbers drawn next (for example the initial weights of a head) are therefore the same whether the backbone
        is created now or was created ahead. A second call creates a second backbone, equal to the first.

        Args:
            model_kwargs: see ``backbones.create.create_backbone``.

        Raises:
            CheckpointError: the weights do not fit.
            UserError: the architecture refuses a size or an argument.
        """
        held = self.prepared
        created, generators = held.created, held.generators
        if created is None or generators is None or held.model_kwargs != model_kwargs:
            return self._create_backbone(model_kwargs)
        held.created = None  # the caller trains and so changes it; a second call must not return it again
        self._restore_generators(generators)
        return created

    def _create_backbone(self, model_kwargs: Mapping[str, Any]) -> CreatedBackbone:
        from backbones.create import create_backbone
        from backbones.registry import require_own_architecture

        self._seed_generators()
        created = create_backbone(self.card, checkpoint=self.start, allow_partial=self.allow_partial, **model_kwargs)
        require_own_architecture(self.card)
        return created

    def _restore_generators(self, state: GeneratorState) -> None:
        from engine.seeding import set_generator_state

        self._seed_generators()  # GPU generators too; creating a backbone on the CPU does not advance those
        set_generator_state(state)

    def _seed_generators(self) -> None:
        from engine.seeding import derive_seed, seed_all

        seed_all(derive_seed(self.seed, 0))


@dataclass(frozen=True)
class DataReport:
    """What ``check_data`` found.

    Attributes:
        fingerprint: SHA-256 over content and split, 64 hexadecimal digits.
        splits: number of items by split name.
        notes: facts for the reader (classes, sizes, licence).
        deviations: how the data differ from the official set, one sentence each; empty if they do not differ.
        class_counts: number of items by class name, by split; empty if an item does not have exactly one label.
        coverage: which bytes of the data the fingerprint covers, in words.
        duplicates: test or val items whose content is also in another split, one sentence each; a run on such data is
            refused unless the user allows it.
    """

    fingerprint: str
    splits: Mapping[str, int]
    notes: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    class_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    coverage: str = "the bytes of every file"
    duplicates: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)


@dataclass(frozen=True)
class RunPlan:
    """What a run will do.

    Attributes:
        protocol_version: version of the protocol's file.
        config: the resolved configuration; every value in it can change the result and is part of the run's id.
        non_identity_settings: settings that cannot change the result (loader processes, loggers).
        backbone_kwargs: arguments for creating the backbone.
        num_expected_items: number of items that must be scored.
        steps: names of the phases, for display.
        file_settings: of settings that the backbone cannot follow, the protocol's own values by name.
        notes: sentences about what was adapted to the backbone, the batch size or the data.
        rate_settings: names of the learning rates that follow the batch size by the protocol's rule, unless they are
            given beside it (``engine.settings.scaled_rates``).
        scaled_settings: those of them that did.
        kept_settings: those of them that the user gave instead; they depart from the protocol, whatever their value.
        later_settings: settings that ``config`` leaves out at these values, by dotted name (``StrictConfig``).
        loading_fixes: corrections of how the start weights are used, for ``StartCheckpoint.loading_fixes``.
    """

    protocol_version: int
    config: Mapping[str, Any]
    non_identity_settings: Mapping[str, Any]
    backbone_kwargs: Mapping[str, Any]
    num_expected_items: int
    steps: tuple[str, ...]
    file_settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rate_settings: tuple[str, ...] = ()
    scaled_settings: tuple[str, ...] = ()
    kept_settings: tuple[str, ...] = ()
    later_settings: Mapping[str, Any] = field(default_factory=dict)
    loading_fixes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskOutcome:
    """The result of a run.

    Attributes:
        metrics: values by metric name.
        item_columns: column names of the per-item table.
        item_rows: one row per scored item, values in the order of ``item_columns``.
        selection: how the weights to test were chosen.
        load_report: how the start weights were loaded, as ``create_backbone`` reports it.
        checkpoint_format: format of the start weights' file; ``None`` without a file.
        parameters: number of parameters of the backbone.
        phase_seconds: duration of each phase, seconds.
        details: further measurements for the record, as plain data.
        visualize: draws what needs the trained model; called once the record is written.
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
    visualize: Callable[[], list[DrawnPicture]] | None = None


class Task(ABC):
    """A benchmark task. A module that defines one imports torch only inside these methods, so that listings stay fast.

    Attributes:
        name: as ``bench run`` takes it.
        domain: the group of tasks it belongs to, for example ``classification``.
        summary: one line for listings.
        protocols: names of the protocols it supports.
        metrics: the metrics it reports, the primary one first.
        expected: official number of items by split name.
        supports_data_scale: whether its protocols use ``RunRequest.data_scale``.
        data_options: the fields of ``DataOptions`` that its reader follows.
    """

    name: str
    domain: str
    summary: str
    protocols: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    expected: Mapping[str, int]
    supports_data_scale = False
    data_options: tuple[str, ...] = ()

    @abstractmethod
    def check_data(self, root: Path, decode: DecodeLevel = "none") -> DataReport:
        """Verify the data below ``root``: layout, counts and labels; ``decode`` tells how many files are opened.

        A valid set that differs from the official one (a subset, another split) passes and is reported with
        ``deviations``.

        Args:
            root: folder that contains the data sets.
            decode: how many files to decode.

        Raises:
            DataError: naming the file and how to fix it.
        """

    def summarize_data(self, root: Path) -> DataSummary | None:
        """Return what a person judges the data below ``root`` by, or ``None`` if the task has no summary."""
        return None

    def download_data(self, root: Path) -> None:
        """Download the data to ``root`` and verify the checksums, if the set can be downloaded.

        Raises:
            UserError: the set must be downloaded by hand; the message says from where and into which folder.
        """
        raise UserError(f"task {self.name} has nothing to download")

    @abstractmethod
    def plan(self, request: RunRequest, data: DataReport) -> RunPlan:
        """Resolve the protocol's configuration for a request on the data found. Trains nothing.

        Args:
            request: the cell.
            data: what ``check_data`` found.

        Raises:
            ConfigError: listing every error in the configuration.
        """

    @abstractmethod
    def run(self, request: RunRequest, plan: RunPlan, out: Path) -> TaskOutcome:
        """Train and evaluate in the folder ``out``; resume if it contains an interrupted run."""

    def load_images(self, root: Path, split: str, card: BackboneCard, img_size: int) -> TaskImages:
        """Return the images of a split for analyzing a backbone, preprocessed as in evaluation, never augmented.

        Args:
            root: folder that contains the data sets.
            split: name of the split.
            card: the backbone's card; gives the normalization.
            img_size: side of the square images, pixels.

        Raises:
            UserError: the task has no single images, or no such split.
        """
        raise UserError(f"task {self.name} offers no single images to analyze; choose a classification task")

    def list_test_items(self, root: Path) -> Mapping[str, Sequence[object]]:
        """Return the columns of the per-item table that follow from the data alone, for ``bench verify``.

        Empty if the task does not say them. ``root`` is the folder that contains the data sets.
        """
        return {}

    def make_control(self, kind: ControlKind, seed: int = 0) -> Task:
        """Return a variant of this task, as ``engine.data.control_task.ControlTask`` makes it, for negative controls.

        It has another name and another fingerprint, so that no record and no cache mixes it up with this task; its
        ``metrics`` are those that are compared. ``intact`` is this task as it is, ``labels_only`` the best answer that
        needs no image, in ``shuffled_labels`` each training item has the label of another one, and in ``noise_images``
        every image of every split is noise.

        Args:
            kind: what the variant does.
            seed: another seed gives another order of the labels, and other noise.

        Raises:
            UserError: the task has no variant of this kind.
        """
        raise UserError(
            f"task {self.name} has no negative controls: its class does not define make_control "
            "(docs/guides/add-a-task.md says how)"
        )

    def visualize_run(self, folder: Path, record: Record, data_root: Path) -> list[DrawnPicture]:
        """Draw a complete run, the pictures in the order of their display; what fails here costs the pictures only.

        Args:
            folder: the run's folder; the caller writes the pictures there.
            record: the run's record.
            data_root: folder that contains the data sets.
        """
        return []

    def open_evaluation(self, source: ModelSource, root: Path) -> Evaluation:
        """Open a finished model for ``bench evaluate``; nothing is trained.

        Args:
            source, root: which model, and how it is applied; folder that contains the data sets.

        Raises:
            UserError: the model or the data do not fit, or the task evaluates no finished models.
        """
        raise UserError(f"task {self.name} evaluates no finished models: its class does not define open_evaluation")
