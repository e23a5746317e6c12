"""Resolve the request of a cell: task, backbone, data and plan, and the id that follows from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from backbones.card import BackboneCard, replace_normalization
from backbones.color_input import require_color_input
from backbones.registry import get_card, list_plugin_modules
from backbones.weight_sources.hub import HUB_PREFIX
from backbones.weights import MEMORY_ARCHITECTURE, InitialWeights, locate_weights
from benchmarks.cell_record import describe_backbone
from benchmarks.task_registry import TASKS, describe_task_source, is_test_only
from engine.data.data_options import NO_OPTIONS, DataOptions, require_task_options
from engine.data.data_sources import find_task_data
from engine.task import DataReport, RunPlan, RunRequest, Task
from foundation.display_text import shorten_value
from foundation.errors import DataError, UserError
from foundation.suggest import did_you_mean
from foundation.values.number_ranges import require_seed
from results.leaderboard.row_labels import require_row_label
from results.records.identity import AS_IS, RunIdentity, make_run_identity
from results.records.record import BackboneRecord, Tier

if TYPE_CHECKING:
    from torch import nn

MIN_DATA_SCALE = 1e-8
"""Smallest fraction of the training data: one item of 10^8."""


@dataclass(frozen=True)
class CellRequest:
    """One cell as the user requested it.

    Attributes:
        task: a name of the registry, or a task object that is not registered.
        backbone: a name of the registry, ``timm/<name>``, or a module (see ``backbones.memory_modules.memory_module``).
        protocol: name of the protocol; ``None``: the first one of the task.
        checkpoint: a weight file, the folder of a pre-training run, or ``random``; not for a module.
        tier: length of the schedule: ``smoke``, ``short`` or ``full``.
        seed: 0 to 2**32 - 1.
        overrides: settings that differ from the protocol's file, as ``key=value``.
        data_root: folder of the data sets.
        out: folder below which the run's folder is made.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        allow_partial: accept weights that fill only a part of the backbone.
        allow_subset: accept data that are not the complete official set.
        data_scale: fraction of the training items, above 0 to 1.
        allow_duplicates: accept test items whose content is also in the training data; the record keeps them.
        hash_all: hash every byte of the data, also of a set so large that a sample is the default.
        data_options: how data of the user's own are laid out and labeled.
        force_new: run again although a record exists; nothing is taken from a cache.
        command_line: words that the user typed, for the record.
        weights_key: the weights to take from a file that holds several versions of them, by their key in the file.
        mean, std: of each channel, for pixels in 0..1, in place of the card's; both or none.
        label: a name for the row on boards; changes no number.
        is_timed: measure how long the backbone takes; a smoke run never does.
    """

    task: str | Task
    backbone: str | nn.Module
    protocol: str | None = None
    checkpoint: str | None = None
    tier: Tier = "full"
    seed: int = 0
    overrides: tuple[str, ...] = ()
    data_root: Path = Path("data")
    out: Path = Path("runs")
    device: str = "auto"
    allow_partial: bool = False
    allow_subset: bool = False
    data_scale: float = 1.0
    allow_duplicates: bool = False
    hash_all: bool = False
    data_options: DataOptions = NO_OPTIONS
    force_new: bool = False
    command_line: tuple[str, ...] = ()
    weights_key: str | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    label: str | None = None
    is_timed: bool = True


class ResolvedCell(NamedTuple):
    """A request that can be run: its task, data, plan and identity.

    Attributes:
        task: the task.
        request: what the task gets to run.
        data: the report of ``check_data``.
        plan: the task's plan.
        backbone: the backbone as the record describes it before the run.
        task_source: digest of the code of a plug-in task.
        identity: everything that can change the number.
        is_answerable: whether a record may answer; ``False`` if code that makes the number could not be found.
    """

    task: Task
    request: RunRequest
    data: DataReport
    plan: RunPlan
    backbone: BackboneRecord
    task_source: str | None
    identity: RunIdentity
    is_answerable: bool


class CellParts(NamedTuple):
    """What a request resolves to before its id: everything but the seed, see ``is_independent_of_seed``.

    Attributes:
        task, data, plan, backbone, task_source, is_answerable: as in ``ResolvedCell``.
        request: what the task gets to run, still without its run id.
    """

    task: Task
    request: RunRequest
    data: DataReport
    plan: RunPlan
    backbone: BackboneRecord
    task_source: str | None
    is_answerable: bool

    @property
    def is_independent_of_seed(self) -> bool:
        """Whether the same request with another seed has the same parts.

        The plans of bench's own tasks and the digests of its own backbones do not depend on the seed. Foreign code
        could do anything, so its parts belong to one seed.
        """
        card = self.request.card
        is_own_backbone = card.architecture != MEMORY_ARCHITECTURE and not list_plugin_modules(card)
        return self.task_source is None and self.is_answerable and is_own_backbone


def resolve_cell(cell_request: CellRequest) -> ResolvedCell:
    """Check the request and find task, backbone, weights, data and plan; nothing is written.

    Raises:
        UserError: a name, value or combination that cannot be run.
        DataError: the data are missing, damaged, or not the complete official set.
    """
    return complete_cell(cell_request, resolve_cell_parts(cell_request))


def complete_cell(cell_request: CellRequest, parts: CellParts) -> ResolvedCell:
    """Return a cell with its id.

    Args:
        cell_request: gives the seed.
        parts: as ``identify_cell`` takes them.
    """
    identity = identify_cell(cell_request, parts)
    return ResolvedCell(
        parts.task,
        replace(parts.request, seed=cell_request.seed, run_id=identity.run_id),
        parts.data,
        parts.plan,
        parts.backbone,
        parts.task_source,
        identity,
        parts.is_answerable,
    )


def resolve_cell_parts(
    cell_request: CellRequest, find_data: Callable[[Task, Path], DataReport] = find_task_data
) -> CellParts:
    """Do what ``resolve_cell`` does before it computes the id.

    Args:
        cell_request: the cell.
        find_data: returns what a task says of its data below a data root; a plan of many cells asks once per data set.

    Raises:
        UserError: a name, value or combination that cannot be run.
        DataError: the data are missing, damaged, or not the complete official set.
    """
    task, protocol = _resolve_protocol(cell_request)
    require_task_options(task, cell_request.data_options)
    label = require_row_label(cell_request.label)
    card, start = _resolve_backbone(cell_request)
    require_color_input(card)
    request = RunRequest(
        card=card,
        start=start,
        protocol=protocol,
        tier=cell_request.tier,
        seed=cell_request.seed,
        overrides=cell_request.overrides,
        data_root=cell_request.data_root,
        device=cell_request.device,
        allow_partial=cell_request.allow_partial,
        data_scale=cell_request.data_scale,
    )
    data = find_data(task, cell_request.data_root)
    require_no_duplicates(task, data, cell_request.allow_duplicates)
    plan = task.plan(request, data)
    require_official_data(task, data, cell_request.allow_subset)
    digest, source = request.describe_model(plan.backbone_kwargs), describe_task_source(task)
    backbone = describe_backbone(request, plan).model_copy(update={"model": digest.identity_dict(), "label": label})
    is_answerable = digest.is_answerable and source.is_answerable
    return CellParts(task, request, data, plan, backbone, source.sha256, is_answerable)


def identify_cell(cell_request: CellRequest, parts: CellParts) -> RunIdentity:
    """Return the identity of a cell.

    Args:
        cell_request: gives the seed.
        parts: of this request, or of one that differs in the seed alone if the parts do not depend on it.
    """
    checkpoint = parts.backbone.checkpoint
    # Everything that can change the number goes into one of the two groups. The first one alone is the key of the
    # board: runs that share it may stand in one column. Device and threads are recorded, but not part of the id.
    return make_run_identity(
        task=parts.task.name,
        protocol=parts.request.protocol,
        protocol_version=parts.plan.protocol_version,
        config=parts.plan.config,
        data_fingerprint=parts.data.fingerprint,
        data_options=cell_request.data_options.as_dict(),
        tier=cell_request.tier,
        task_source=parts.task_source,
        card=parts.request.card.identity_dict(),
        arguments=parts.plan.backbone_kwargs,
        init=parts.request.start.init,
        checkpoint_sha256=checkpoint.sha256 if checkpoint else None,
        weights_key=checkpoint.weights_key if checkpoint else None,
        loading_fixes=checkpoint.loading_fixes if checkpoint else (),
        allow_partial=cell_request.allow_partial,
        seed=cell_request.seed,
        model=parts.backbone.model,
    )


def make_run_stem(task: Task, request: RunRequest, seed: int, run_id: str) -> str:
    """Return the path of the first attempt at a run below its store.

    Args:
        task: the task.
        request: gives backbone, protocol and tier.
        seed: the run's seed.
        run_id: the run's id.
    """
    cell = f"{request.protocol}-{request.tier}-seed{seed}"
    return f"{task.name}/{make_folder_name(request.card.name)}-{cell}-{run_id}"


def make_folder_name(backbone: str) -> str:
    """Return the name of a backbone as it stands in the name of a folder.

    >>> make_folder_name("timm/vit_tiny_patch16_224")
    'timm_vit_tiny_patch16_224'
    """
    return backbone.replace(HUB_PREFIX, "hub_").replace("/", "_")


def _resolve_protocol(cell_request: CellRequest) -> tuple[Task, str]:
    """Find task and protocol, and check the numbers of a request."""
    task = cell_request.task if isinstance(cell_request.task, Task) else TASKS.get(cell_request.task)
    require_training_protocol(task, cell_request.protocol)
    protocol = cell_request.protocol or task.protocols[0]
    if protocol not in task.protocols:
        close = did_you_mean(protocol, task.protocols, hint=f"it has {', '.join(task.protocols)}")
        raise UserError(f"task {task.name} has no protocol {shorten_value(protocol)}{close}")
    require_seed(cell_request.seed)
    if cell_request.data_scale != 1 and not task.supports_data_scale:
        raise UserError(f"task {task.name} has no --data-scale: it always trains on all of its data")
    if not 0 < cell_request.data_scale <= 1:
        raise UserError(f"data scale {cell_request.data_scale:g} is not a fraction of the training data, above 0 to 1")
    if cell_request.data_scale < MIN_DATA_SCALE:
        raise UserError(
            f"data scale {cell_request.data_scale:g} is below {MIN_DATA_SCALE:g}, less than one item of any data set"
        )
    return task, protocol


def require_training_protocol(task: Task, protocol: str | None) -> None:
    """Refuse what a run cannot do because it is an evaluation: the protocol ``as_is``, and a set for tests alone.

    Args:
        task: the task.
        protocol: the requested protocol; ``None``: the task's first.

    Raises:
        UserError: it is one; the message names ``bench evaluate``.
    """
    # checked first: such a task has no other protocol that could be named instead
    if is_test_only(task):
        raise UserError(f"{task.name} is a test set, and nothing is trained on it; use bench evaluate {task.name}")
    if protocol == AS_IS:
        raise UserError(
            f"protocol {AS_IS} tests a finished model, and nothing is trained; "
            f"use bench evaluate {task.name} --backbone NAME, or --run RUN"
        )


def require_official_data(task: Task, data: DataReport, allow_subset: bool) -> None:
    """Refuse data that are not the complete official set, unless the user allows it.

    Raises:
        DataError: they are not; the message says how they differ.
    """
    if data.deviations and not allow_subset:
        raise DataError(
            f"{task.name}: {'; '.join(data.deviations)}. A number on such data stands on a board of its own: "
            "add --subset to run on it"
        )


def require_no_duplicates(task: Task, data: DataReport, allow_duplicates: bool) -> None:
    """Refuse test items whose content is also in the training data, unless the user allows it.

    Raises:
        DataError: there are some; the message names them.
    """
    if data.duplicates and not allow_duplicates:
        raise DataError(
            f"{task.name}: {'; '.join(data.duplicates)}. A test on training data says nothing about a backbone: remove "
            "them from one split, or add --allow-duplicates (the record keeps it)"
        )


def _resolve_backbone(cell_request: CellRequest) -> tuple[BackboneCard, InitialWeights]:
    backbone = cell_request.backbone
    if isinstance(backbone, str):
        own = get_card(backbone)
        card = replace_normalization(own, cell_request.mean, cell_request.std)
        start = locate_weights(card, cell_request.checkpoint, cell_request.weights_key)
        # published numbers stand beside rows of a card's own weights and of random ones, which have the card's input
        if card != own and start.init != "checkpoint":
            origin = "random weights" if start.init == "random" else "the own weights of its card"
            raise UserError(
                f"--mean and --std say what input the weights in a file of yours expect, and {own.name} starts from "
                f"{origin}; leave them out, or keep the weights under another name (bench add backbone)"
            )
        return card, start
    if cell_request.checkpoint is not None or cell_request.weights_key is not None:
        raise UserError(
            "a module brings its own weights, so neither checkpoint nor weights_key can be given; "
            "load the file into it first"
        )
    if cell_request.mean is not None or cell_request.std is not None:
        raise UserError("a module states its own normalization; set its attributes mean and std instead of giving them")
    from torch import nn

    if not isinstance(backbone, nn.Module):
        raise UserError(f"a backbone is a name or a torch module, not {type(backbone).__name__}")
    from backbones.memory_modules.memory_module import make_memory_card

    return make_memory_card(backbone)
