"""Runs: train and evaluate, and pre-train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from litevit_bench._arguments import (
    TIERS,
    PathLike,
    convert_data_options,
    format_overrides,
    require_choice,
    require_whole_number,
    resolve_places,
)

if TYPE_CHECKING:
    from torch import nn

    from engine.task import Task
    from results.records.record import Record

TierName = Literal["smoke", "short", "full"]
Overrides = Mapping[str, Any]


def run(
    task: str | Task,
    backbone: str | nn.Module,
    *,
    protocol: str | None = None,
    checkpoint: PathLike | None = None,
    weights_key: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    label: str | None = None,
    teacher: str | None = None,
    teacher_checkpoint: PathLike | None = None,
    tier: TierName = "full",
    seed: int = 0,
    overrides: Overrides | None = None,
    data_scale: float = 1.0,
    data_root: PathLike | None = None,
    data_options: Mapping[str, Any] | None = None,
    out: PathLike = "runs",
    device: str = "auto",
    allow_partial: bool = False,
    allow_subset: bool = False,
    allow_duplicates: bool = False,
    hash_all: bool = False,
    force_new: bool = False,
) -> Record:
    """Train and evaluate one backbone on one task; a cell that was run before is answered from its record.

    Args:
        task: name of a task (``list_tasks``), or a ``Task`` of your own.
        backbone: name of the registry, ``timm/<name>``, or a module: one that behaves as a timm model does
            (``forward_features``, ``forward_head``, ``num_features``, ``reset_classifier``). Of a module, ``name``,
            ``mean``, ``std`` (of pixels in 0 to 1) and ``input_size`` (channels, height, width) are taken from its
            attributes of these names, else from timm's ``pretrained_cfg``. It is copied and never changed; the record
            says that it came from memory and holds a SHA-256 of its weights.
        protocol: how the backbone is used; the task's first where not given.
        checkpoint: a weight file, the folder of a pre-training run, or ``"random"``; where not given, the weights
            that the backbone's card names. Not for a module: it brings its own.
        weights_key: the weights to take from a file that holds several versions of them; where not given, the running
            average if there is one.
        mean, std: of each channel, for pixels in 0 to 1, in place of the card's; both or none. They are part of the id.
        label: a name for the row on boards; changes no number and no id.
        teacher: of protocol ``finetune_distill``: registry name or ``timm/<name>``; where not given, the protocol's.
        teacher_checkpoint: its weights, a file or the folder of a fine-tuning run; where not given, its own.
        tier: length of the schedule: ``smoke`` (a few steps), ``short`` or ``full``.
        seed: 0 to 2**32 - 1.
        overrides: settings of the protocol that differ from its file, by dotted key: ``{"optimizer.lr": 1e-3}``.
        data_scale: share of the training items, above 0 to 1.
        data_root: folder of the data sets; ``$BENCH_DATA`` or ``data`` where not given.
        data_options: how data of your own are laid out and labeled, by the names of the command line's options:
            ``{"layout": "classes", "exclude": ["raw"]}``. They are part of the id.
        out: folder of the runs.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        allow_partial: accept weights that fill only a part of the backbone; the record keeps it.
        allow_subset: accept data that are not the whole official set; such numbers have boards of their own.
        allow_duplicates: accept test items whose content is also in the training data; the record keeps it.
        hash_all: hash every byte of the data, also above 20 GB, where a sample is the default.
        force_new: run again although a record exists, and read no cache.

    Returns:
        The complete record. Its numbers are in ``record.result.metrics``, by name.

    Raises:
        UserError: something in the request does not fit; nothing was written.
        BenchError: the run failed; the same call goes on from its last checkpoint.

    Example:
        >>> record = run("digits", "vit_nano", protocol="knn", tier="smoke")  # doctest: +SKIP
        >>> record.result.metrics["top1"].value  # doctest: +SKIP
        46.796657381615596
    """
    from benchmarks.resolve_cell import CellRequest
    from benchmarks.run_cell import run_cell
    from classification.teacher_settings import format_teacher_settings

    require_choice("tier", tier, TIERS)
    require_whole_number("seed", seed)
    named = format_teacher_settings(protocol, teacher, teacher_checkpoint)
    request = CellRequest(
        task=task,
        backbone=backbone,
        protocol=protocol,
        checkpoint=None if checkpoint is None else str(checkpoint),
        weights_key=weights_key,
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
        label=label,
        tier=tier,
        seed=seed,
        overrides=(*format_overrides(overrides), *named),
        data_scale=data_scale,
        command_line=("litevit_bench.run",),
        **resolve_places(data_root, out, device),
        data_options=convert_data_options(data_options),
        allow_partial=allow_partial,
        allow_subset=allow_subset,
        allow_duplicates=allow_duplicates,
        hash_all=hash_all,
        force_new=force_new,
    )
    return run_cell(request).record


def pretrain(
    method: str,
    backbone: str,
    data: str,
    *,
    teacher: str | None = None,
    teacher_checkpoint: PathLike | None = None,
    checkpoint: PathLike = "random",
    weights_key: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    label: str | None = None,
    knn_data: str | None = None,
    skip_bad: bool = False,
    tier: TierName = "full",
    seed: int = 0,
    overrides: Overrides | None = None,
    data_root: PathLike | None = None,
    data_options: Mapping[str, Any] | None = None,
    out: PathLike = "runs",
    device: str = "auto",
    allow_subset: bool = False,
    hash_all: bool = False,
    force_new: bool = False,
) -> Path:
    """Pre-train a backbone without labels.

    Args:
        method: ``mae``, ``mae_distill`` ... (``list_pretraining_methods``).
        backbone: name of the registry, or ``timm/<name>``.
        data: ``digits``, ``photos``, ``cifar10``, ``cifar100``, ``imagenet`` or ``folder``.
        teacher: backbone of the teacher, for methods that distill.
        teacher_checkpoint: its weights; those of its card where not given.
        checkpoint: weights to go on from; ``"random"`` where not given.
        weights_key, mean, std, label: as of ``run``.
        knn_data: labeled set for the k-NN health check; the data's own labels where not given.
        skip_bad: leave out and count images that cannot be decoded, instead of stopping.
        tier, seed, overrides, data_root, data_options, out, device, allow_subset, hash_all, force_new: as of ``run``.

    Returns:
        The run's folder; ``run(task, backbone, checkpoint=folder)`` starts from it.

    Raises:
        UserError: something in the request does not fit; nothing was written.
        BenchError: the training failed; the same call goes on from its last checkpoint.
    """
    from benchmarks.resolve_cell import CellRequest
    from benchmarks.run_cell import run_cell
    from pretraining.task import PretrainTask

    require_choice("tier", tier, TIERS)
    require_whole_number("seed", seed)
    task = PretrainTask(
        method,
        data,
        teacher=teacher,
        teacher_checkpoint=None if teacher_checkpoint is None else str(teacher_checkpoint),
        skip_bad=skip_bad,
        knn_data=knn_data,
    )
    request = CellRequest(
        task=task,
        backbone=backbone,
        checkpoint=str(checkpoint),
        weights_key=weights_key,
        mean=None if mean is None else tuple(mean),
        std=None if std is None else tuple(std),
        label=label,
        tier=tier,
        seed=seed,
        overrides=format_overrides(overrides),
        command_line=("litevit_bench.pretrain",),
        **resolve_places(data_root, out, device),
        data_options=convert_data_options(data_options),
        allow_subset=allow_subset,
        hash_all=hash_all,
        force_new=force_new,
    )
    return run_cell(request).folder


def list_tasks() -> list[dict[str, Any]]:
    """The tasks there are: name, domain, protocols, metrics, summary; a broken plug-in carries its ``error``."""
    from benchmarks import listing

    return listing.list_tasks()


def list_protocols() -> list[dict[str, Any]]:
    """Every task and protocol; ``default`` marks the one that is taken where none is named."""
    from benchmarks import listing

    return listing.list_protocols()
