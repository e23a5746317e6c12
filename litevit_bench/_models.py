"""Models: backbones and trackers, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from foundation.values.number_ranges import MAX_BATCH, MAX_SIDE
from litevit_bench._arguments import require_choice, require_whole_number

if TYPE_CHECKING:
    from torch import nn

    from backbones.create import CreatedBackbone
    from tracking.inference.tracker import Tracker


def create_backbone(
    backbone: str | nn.Module,
    *,
    img_size: int | tuple[int, int] | None = None,
    checkpoint: str | Path | None = None,
    weights_key: str | None = None,
    allow_partial: bool = False,
    **model_kwargs: Any,
) -> CreatedBackbone:
    """Make a backbone with its weights, and account for every tensor that was loaded.

    Args:
        backbone: name of the registry, ``timm/<name>``, ``hf-hub:OWNER/REPO``, or a module (it is copied; see
            ``run``).
        img_size: input side, or height and width, in pixels; the card's own where not given.
        checkpoint: a weight file, the folder of a pre-training run, or ``"random"``; the card's weights where not
            given.
        weights_key: the weights to take from a file that holds several versions of them; where not given, the running
            average if there is one.
        allow_partial: accept a checkpoint that fills only a part of the backbone.
        model_kwargs: for timm's ``create_model``: ``num_classes``, ``drop_path_rate`` ...

    Returns:
        A tuple of ``model`` (a timm model), ``initial_weights`` (where they came from), ``weight_file`` and
        ``load_report``; the last two are ``None`` for random weights.

    Raises:
        UnknownNameError: no such backbone.
        CheckpointError: weights missing, unreadable, or not fitting.
        UserError: a size or argument that the architecture refuses.

    Example:
        >>> made = create_backbone("vit_nano", num_classes=10)
        >>> made.model.num_classes, made.initial_weights.init
        (10, 'random')
    """
    from backbones.create import create_backbone as create

    if isinstance(backbone, str):
        return create(
            backbone,
            img_size=img_size,
            checkpoint=None if checkpoint is None else str(checkpoint),
            weights_key=weights_key,
            allow_partial=allow_partial,
            **model_kwargs,
        )
    from backbones.memory_modules.memory_module import make_memory_card
    from foundation.errors import UserError

    if checkpoint is not None or weights_key is not None:
        raise UserError(
            "a module brings its own weights, so neither checkpoint nor weights_key can be given; load the file "
            "into it first"
        )
    card, weights = make_memory_card(backbone)
    return create(card, img_size=img_size, checkpoint=weights, allow_partial=allow_partial, **model_kwargs)


def load_tracker(
    run_dir: str | Path | None = None,
    device: str = "cpu",
    *,
    runtime: Literal["torch", "onnxruntime", "openvino"] | None = None,
    precision: Literal["f32", "bf16", "int8"] | None = None,
    threads: int | None = None,
) -> Tracker:
    """The tracker that a finished run trained, or the small one that bench ships.

    Args:
        run_dir: the run's folder; where not given, the shipped tracker.
        device: ``cpu``, ``cuda`` or ``mps``; runtimes other than torch compute on the CPU.
        runtime: ``torch``, or one that the run was exported for; where not given, the one the run was tracked with.
        precision: of the runtime.
        threads: of one frame; in torch they are the whole process's.

    Returns:
        A tracker: ``tracker.init(frame, box)``, then ``tracker.update(frame)`` for each further frame. Frames are
        (height, width, 3) RGB bytes, boxes x, y, width, height in pixels.

    Raises:
        UserError: not a finished tracking run, or not exported for the runtime.
    """
    from tracking.evaluate_run import load_tracker as load

    require_choice("device", device, ("cpu", "cuda", "mps"))
    require_choice("runtime", runtime, (None, "torch", "onnxruntime", "openvino"))
    require_choice("precision", precision, (None, "f32", "bf16", "int8"))

    folder = None if run_dir is None else Path(run_dir)
    return load(folder, device, runtime=runtime, precision=precision, threads=threads)


def profile(
    backbone: str,
    *,
    img_size: int | None = None,
    batch_size: int = 16,
    device: str = "cpu",
    dtype: Literal["fp32", "bf16", "fp16"] = "fp32",
) -> dict[str, Any]:
    """What a backbone costs on this machine, with random weights and its classifier.

    Args:
        backbone: name of the registry, or ``timm/<name>``.
        img_size: input side in pixels; the card's own where not given.
        batch_size: images of the throughput's batch.
        device: ``cpu``, ``cuda`` or ``mps``.
        dtype: of weights and activations.

    Returns:
        Plain data: ``counts`` (parameters, MACs per image), ``memory`` (bytes), ``latency`` (milliseconds at batch
        1), ``throughput`` (images per second) and ``where`` (device, threads, versions).
    """
    from backbones.cost.profile import profile_backbone

    require_choice("dtype", dtype, ("fp32", "bf16", "fp16"))
    require_choice("device", device, ("cpu", "cuda", "mps"))
    require_whole_number("batch_size", batch_size, 1, MAX_BATCH)
    if img_size is not None:
        require_whole_number("img_size", img_size, 1, MAX_SIDE)
    return profile_backbone(backbone, img_size=img_size, batch_size=batch_size, device=device, dtype=dtype)


def list_backbones() -> list[dict[str, Any]]:
    """The backbones of the registry; besides them there is ``timm/<name>`` for every model of timm."""
    from benchmarks import listing

    return listing.list_backbones()


def list_pretraining_methods() -> list[dict[str, Any]]:
    """The methods of ``pretrain``: name, whether they need a teacher, summary."""
    from benchmarks import listing

    return listing.list_pretraining_methods()
