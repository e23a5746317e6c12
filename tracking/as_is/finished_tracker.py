"""Open a finished tracker: that of a run, a weights file in a run's folder, or a checkpoint of OSTrack's code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backbones.card import BackboneCard, replace_normalization
from backbones.checkpoints.load_weights import LoadReport
from backbones.checkpoints.read_checkpoint import find_identity_key
from backbones.model_digest import identify_plugin_code
from backbones.registry import get_card
from backbones.weights import hash_weight_file, require_weight_file
from engine.evaluation.checkpoint_run import find_checkpoint_run
from engine.evaluation.model_source import ModelSource
from foundation.errors import UserError
from foundation.files import sha256_file
from foundation.weights.shard_index import count_weight_bytes
from results.records.record import BackboneRecord, Record, StartCheckpoint
from tracking.as_is.settings import EvaluationSettings
from tracking.inference.backend import TorchNetwork
from tracking.inference.run_files import load_recipe, load_torch_factory, read_finished_run
from tracking.inference.tracker import Tracker
from tracking.inference.tracker_factory import TorchTrackerFactory
from tracking.models.tracker_model import TrackerModel
from tracking.ostrack_checkpoint import OSTRACK_MEAN, OSTRACK_STD, load_ostrack_model
from tracking.ostrack_settings import StatedSettings, TrackerSettings, describe_tracker, require_agreement
from tracking.recipe import TrackingRecipe


@dataclass(frozen=True)
class OstrackTrackerFactory:
    """A factory for the tracker of a checkpoint of OSTrack's code, in PyTorch. It is small and can be pickled.

    Attributes:
        path: the checkpoint.
        sha256: of its content.
        backbone_name: registry name or ``timm/<name>`` of the plain ViT.
        protocol: the protocol that the user named, or ``None``.
        asked: the settings that the user asks for.
        tracker: how the tracker is applied, for the provenance.
        weights_key: the weights to take from a file that holds several versions of them.
        device: ``cpu``, ``cuda`` or ``mps``.
    """

    # names and numbers only: every process reads the file itself
    path: Path
    sha256: str
    backbone_name: str
    protocol: str | None
    asked: TrackerSettings
    tracker: Mapping[str, Any]
    weights_key: str | None = None
    device: str = "cpu"

    def load_model(self) -> TrackerModel:
        """Load the network on the CPU, in evaluation mode.

        Raises:
            CheckpointError: the file cannot be read.
        """
        return load_ostrack_model(self.path, self.backbone_name, self.protocol, self.asked, self.weights_key).model

    def __call__(self) -> Tracker:
        """Create the tracker."""
        model, recipe, _ = load_ostrack_model(
            self.path, self.backbone_name, self.protocol, self.asked, self.weights_key
        )
        return Tracker(TorchNetwork(model.to(self.device)), recipe.crop_sizes(), self.backbone_name)

    def describe_provenance(self) -> dict[str, Any]:
        """Return everything that the boxes depend on, as plain data."""
        return {
            # of the whole file: cheaper than hashing its tensors, and any other file counts as another tracker
            "weights": self.sha256,
            "weights_key": self.weights_key,
            "backbone": {"card": get_ostrack_card(self.backbone_name).identity_dict()},
            "tracker": dict(self.tracker),
            "runtime": TorchNetwork.runtime,
            "precision": TorchNetwork.precision,
            "device": self.device,
        }


@dataclass(frozen=True)
class FinishedTracker:
    """A finished tracker, opened.

    Attributes:
        factory: creates it in PyTorch, and loads its network.
        recipe: how it is applied.
        backbone: the whole model as a record describes it; without runtime and precision.
        parameters: number of parameters of the network.
        report: how the weights were loaded; ``None`` for a run of ours.
        checkpoint_format: what kind of file the weights are in.
        run: folder of the run whose weights these are; ``None`` for a file of somebody else.
        notes: what a reader should know, one sentence each.
    """

    factory: TorchTrackerFactory | OstrackTrackerFactory
    recipe: TrackingRecipe
    backbone: BackboneRecord
    parameters: int
    report: LoadReport | None
    checkpoint_format: str
    run: Path | None
    notes: tuple[str, ...]


def open_tracker(source: ModelSource, settings: EvaluationSettings, device: str) -> FinishedTracker:
    """Open the tracker of a source.

    Args:
        source: the finished model, from one place.
        settings: how it is applied.
        device: ``cpu``, ``cuda`` or ``mps``.

    Raises:
        UserError: the source is no finished tracker, or the user asks for something else than it says.
        CheckpointError: its weights cannot be loaded.
    """
    if source.config is not None:
        raise UserError(
            "a config of mmsegmentation is no tracker; give --run RUN of a tracking task, or --backbone NAME with "
            "--checkpoint FILE of OSTrack's code"
        )
    if source.run is not None:
        return _open_run(source.run, None, settings, device)
    if source.checkpoint is None:
        raise UserError(
            f"{source.backbone} alone is no tracker: its weights have no head for boxes; train one (bench run lasot), "
            "or add --checkpoint FILE of OSTrack's code"
        )
    if source.backbone is None:
        run = find_checkpoint_run(source.checkpoint)
        if source.weights_key is not None:
            raise UserError("the weights files of a run hold one version of the weights; leave --weights-key out")
        return _open_run(run, source.checkpoint, settings, device)
    return _open_ostrack_file(source, settings, device)


def _open_run(run: Path, weights: Path | None, settings: EvaluationSettings, device: str) -> FinishedTracker:
    """Open the tracker of a run, with its last weights or those of another file in its folder."""
    record, recipe = read_finished_run(run), load_recipe(run)
    if settings.protocol is not None:
        raise UserError(f"the run {run} knows its protocol ({record.protocol}); leave --set protocol out")
    # a run states everything about its tracker, so that nothing is left to ask for
    said = TrackerSettings(
        recipe.template_size, recipe.search_size, recipe.template_factor, recipe.search_factor, recipe.use_ce
    )
    asked = {name: value for name, value in settings.asked_tracker()._asdict().items() if value is not None}
    require_agreement(StatedSettings(said), asked, "--set", f"the run {run.name}")
    factory = load_torch_factory(run, device)
    if weights is not None:
        factory = replace(factory, weights_file=weights)
    # loaded now, so that a damaged file is reported before anything is written
    model = factory.load_model()
    return FinishedTracker(
        factory=factory,
        recipe=recipe,
        backbone=_describe_run(record, recipe, factory.weights_file),
        parameters=_count_parameters(model),
        report=None,
        checkpoint_format="bench run",
        run=run,
        notes=_list_run_notes(record, recipe),
    )


def _describe_run(record: Record, recipe: TrackingRecipe, weights: Path) -> BackboneRecord:
    """Describe the tracker of a run for a record of its evaluation."""
    checkpoint = StartCheckpoint(uri=str(weights), sha256=sha256_file(weights), bytes=weights.stat().st_size)
    return BackboneRecord(
        name=record.backbone.name,
        # as the run has it: the registry's card may have changed since, or the user gave another mean and std
        card=record.backbone.card,
        arguments=describe_tracker(recipe),
        init="checkpoint",
        checkpoint=checkpoint,
        # the code of a plug-in may have been edited since the run, and the same weights give other boxes then
        model=identify_plugin_code(get_card(record.backbone.name), record.backbone.arguments).get("model"),
    )


def _list_run_notes(record: Record, recipe: TrackingRecipe) -> tuple[str, ...]:
    notes = [
        f"the tracker of run {record.run_id} ({record.task}, {record.protocol}, {record.tier}, seed {record.seed})"
    ]
    # the number of such a run is not that of its weights in PyTorch
    if recipe.runtime != "torch":
        notes.append(f"the run itself tracked with {recipe.runtime} in {recipe.runtime_precision}")
    return tuple(notes)


def _open_ostrack_file(source: ModelSource, settings: EvaluationSettings, device: str) -> FinishedTracker:
    """Open the tracker of a checkpoint of OSTrack's code."""
    assert source.checkpoint is not None and source.backbone is not None  # for the type checker
    card, path = get_ostrack_card(source.backbone), require_weight_file(source.checkpoint)
    asked = settings.asked_tracker()
    model, recipe, report = load_ostrack_model(path, source.backbone, settings.protocol, asked, source.weights_key)
    sha256 = hash_weight_file(path)
    tracker = describe_tracker(recipe)
    factory = OstrackTrackerFactory(
        path, sha256, source.backbone, settings.protocol, asked, tracker, source.weights_key, device
    )
    checkpoint = StartCheckpoint(
        uri=str(path),
        sha256=sha256,
        bytes=count_weight_bytes(path),
        # plain weights are named by the file alone
        weights_key=find_identity_key(path, source.weights_key),
    )
    backbone = BackboneRecord(
        name=card.name,
        card=card.as_dict(),
        arguments=tracker,
        init="checkpoint",
        checkpoint=checkpoint,
        model=identify_plugin_code(card, {"num_classes": 0}).get("model"),
    )
    return FinishedTracker(
        factory=factory,
        recipe=recipe,
        backbone=backbone,
        parameters=_count_parameters(model),
        report=report,
        checkpoint_format="OSTrack",
        run=None,
        notes=tuple(report.notes),
    )


def get_ostrack_card(name: str) -> BackboneCard:
    """Return the card of a backbone as OSTrack's code uses it: normalized with ImageNet's mean and std.

    Args:
        name: registry name or ``timm/<name>``.
    """
    # what the number was made with stands beside it, whatever the backbone itself was pre-trained with
    return replace_normalization(get_card(name), OSTRACK_MEAN, OSTRACK_STD)


def _count_parameters(model: TrackerModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
