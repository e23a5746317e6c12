"""The checks of the backbone contract, one function each.

A check returns a sentence about what it found, or raises ``ContractViolation`` or ``CheckSkipped``.
"""

from __future__ import annotations

import copy
import io
import math
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_leaves

from backbones.conformance.backbone_under_test import (
    NUM_TEST_CLASSES,
    BackboneUnderTest,
    CheckSkipped,
    ContractCheck,
    ContractViolation,
)
from backbones.conformance.depth import check_layer_decay
from backbones.features import (
    extract_pooled,
    extract_pyramid,
    extract_tokens,
    get_reductions,
    is_plain_backbone,
    require_input_size,
)
from foundation.errors import UserError

_INDUCTOR_MAX_PARAMETERS = 2_000_000  # above this, generating code takes minutes on a laptop
_COMPILE_TIMEOUT_S = 180


def check_output_shapes(backbone: BackboneUnderTest) -> str:
    """Check that logits are finite and (batch, classes) at the card's size, a larger one and a non-square one."""
    height, width = backbone.img_size
    sizes = (
        backbone.img_size,
        (height + backbone.size_step[0], width + backbone.size_step[1]),
        (height, width + backbone.size_step[1]),
    )
    recreated = []
    for size in sizes:
        model, made = _model_for_size(backbone, size)
        logits = _compute_logits(model, backbone.random_images(2, size))
        if tuple(logits.shape) != (2, NUM_TEST_CLASSES):
            raise ContractViolation(
                f"logits at {_format_size(size)} have shape {tuple(logits.shape)}, not (2, {NUM_TEST_CLASSES})"
            )
        if not bool(torch.isfinite(logits).all()):
            raise ContractViolation(f"logits at {_format_size(size)} are not finite")
        recreated += [_format_size(size)] if made else []
    note = f"; created again for {', '.join(recreated)}" if recreated else ", all with one model"
    return f"(N, {NUM_TEST_CLASSES}) at {', '.join(map(_format_size, sizes))}{note}"


def check_determinism(backbone: BackboneUnderTest) -> str:
    """Check that the same images give the same bits in eval mode, whatever the random state is."""
    images = backbone.random_images(2)
    with torch.random.fork_rng(devices=[]):
        # two different seeds: anything random in the forward pass would differ
        torch.manual_seed(1)
        first = _logits_and_features(backbone.model, images)
        torch.manual_seed(2)
        second = _logits_and_features(backbone.model, images)
    if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise ContractViolation(
            "two passes in eval mode differ; switch off what is random (dropout, drop path) in eval mode"
        )
    return "two passes in eval mode agree bit for bit"


def check_gradients(backbone: BackboneUnderTest) -> str:
    """Check that every trainable parameter gets a gradient with at least one non-zero element.

    The model is in training mode, because in eval mode some models (LeViT) cache values derived from parameters, and
    others return fewer outputs. Whatever is random stays off, and batch norm stays in eval mode, since its gradient
    vanishes for so few values.
    """
    model = copy.deepcopy(backbone.model).train()
    for module in model.modules():
        if isinstance(module, _BatchNorm | _DropoutNd | DropPath):
            module.eval()
    outputs = [value for value in tree_leaves(model(backbone.random_images(2))) if isinstance(value, Tensor)]
    # different weights for all output elements: in a plain sum, their contributions may cancel
    torch.autograd.backward([(value * torch.linspace(-1, 1, value.numel()).view_as(value)).sum() for value in outputs])
    trainable = {name: value for name, value in model.named_parameters() if value.requires_grad}
    dead = [name for name, value in trainable.items() if value.grad is None or not bool(value.grad.any())]
    if dead:
        raise ContractViolation(f"no gradient reaches {_shorten_list(dead)}")
    frozen = sum(1 for _ in model.parameters()) - len(trainable)
    return f"reach all {len(trainable)} trainable parameters" + (f" ({frozen} frozen)" if frozen else "")


def check_batch_independence(backbone: BackboneUnderTest) -> str:
    """Check that each row of a batch equals the result of that image alone."""
    images = backbone.random_images(3)
    together = _logits_and_features(backbone.model, images)
    worst = 0.0
    for row in range(len(images)):
        alone = _logits_and_features(backbone.model, images[row : row + 1])
        for one, many in zip(alone, together, strict=True):
            worst = max(worst, _relative_difference(one, many[row : row + 1]))
    # "not <=" so that NaN fails too; kernels for other batch sizes sum in another order, hence the tolerance
    if not worst <= 1e-3:
        raise ContractViolation(
            f"an image's result depends on the others in its batch (relative difference {worst:.2g})"
        )
    return f"each row equals the image alone (relative difference {worst:.1g})"


def check_odd_sizes(backbone: BackboneUnderTest) -> str:
    """Check that a size that is not a multiple of the patch is refused, or works without cutting off the border."""
    height, width = backbone.img_size
    odd = (height + 1, width - 1)  # one side above a multiple and one below, so that both ways of rounding show
    answers = []
    for manner, made in (("run time", None), ("creation", odd)):
        try:
            model = backbone.model if made is None else backbone.create_perturbed(made, seed=0)
            require_input_size(model, *odd)
            maps = extract_pyramid(model, backbone.random_images(1, odd))
        except UserError as refusal:
            if "\n" in str(refusal) or not str(refusal):
                raise ContractViolation(
                    f"{_format_size(odd)} at {manner} is refused, but not in one sentence"
                ) from refusal
            answers.append(f"refused at {manner}")
            continue
        _require_full_grids(model, maps, odd)
        answers.append(f"works at {manner}")
    return f"{_format_size(odd)}: {', '.join(answers)}"


def check_state_dict(backbone: BackboneUnderTest) -> str:
    """Check that a second instance with the saved state dict gives the same outputs."""
    file = io.BytesIO()
    torch.save(backbone.model.state_dict(), file)
    file.seek(0)
    # another seed: if anything besides the state dict mattered, the outputs would differ
    twin = backbone.create_perturbed(backbone.img_size, seed=1)
    twin.load_state_dict(torch.load(file, weights_only=True), strict=True)
    images = backbone.random_images(2)
    if not all(
        torch.equal(a, b)
        for a, b in zip(_logits_and_features(backbone.model, images), _logits_and_features(twin, images), strict=True)
    ):
        raise ContractViolation(
            "a second instance with the same state dict gives other outputs: it has weights outside the state dict"
        )
    return f"{len(twin.state_dict())} tensors, saved, loaded, same outputs"


def check_bfloat16(backbone: BackboneUnderTest) -> str:
    """Check that the backbone runs in bfloat16 with finite outputs close to those in float32."""
    images = backbone.random_images(2)
    model = copy.deepcopy(backbone.model).to(torch.bfloat16)
    low = [value.float() for value in _logits_and_features(model, images.to(torch.bfloat16))]
    if not all(bool(torch.isfinite(value).all()) for value in low):
        raise ContractViolation("in bfloat16 the outputs are not finite")
    worst = max(
        _relative_difference(one, other)
        for one, other in zip(low, _logits_and_features(backbone.model, images), strict=True)
    )
    # bfloat16 has 8 significant bits: each rounding has a relative error of up to 2^-8, and depth adds them up
    if not worst <= 0.1:
        raise ContractViolation(
            f"in bfloat16 the outputs are far from fp32 (relative difference {worst:.2g}, at most 0.1)"
        )
    return f"finite, relative difference from fp32 {worst:.2g}"


def check_features(backbone: BackboneUnderTest) -> str:
    """Check that pyramid, tokens and pooled features have the shapes that ``feature_info`` promises."""
    # not square, so that swapped axes show
    size = (backbone.img_size[0], backbone.img_size[1] + backbone.size_step[1])
    model, _ = _model_for_size(backbone, size)
    images = backbone.random_images(2, size)
    info = _feature_info(model)
    every = list(range(len(info)))
    with torch.no_grad():
        maps, default = extract_pyramid(model, images, every), extract_pyramid(model, images)
        last, vector = extract_tokens(model, images), extract_pooled(model, images, "avg")
    for index, (entry, value) in enumerate(zip(info, maps, strict=True)):
        grid = tuple(math.ceil(side / entry["reduction"]) for side in size)
        want = (2, entry["num_chs"], *grid)
        if tuple(value.shape) != want:
            raise ContractViolation(
                f"feature map {index} at {_format_size(size)} has shape {tuple(value.shape)}, "
                f"feature_info promises {want}"
            )
        if not bool(torch.isfinite(value).all()):
            raise ContractViolation(f"feature map {index} is not finite")
    # in-place operations of one head on a shared tensor would change the features of another depth
    if len({value.data_ptr() for value in maps}) < len(maps):
        raise ContractViolation("two feature maps are one tensor")
    if last.patches.shape[1] != last.grid_size[0] * last.grid_size[1] or last.patches.shape[0] != 2:
        raise ContractViolation(f"tokens have shape {tuple(last.patches.shape)} for a grid of {last.grid_size}")
    if vector.ndim != 2 or len(vector) != 2:
        raise ContractViolation(f"pooled features have shape {tuple(vector.shape)}, not (2, C)")
    kind = "blocks" if is_plain_backbone(model) else "stages"
    tokens = last.prefix.shape[1]
    return f"{len(info)} {kind}, {len(default)} by default, {tokens} prefix tokens, {_format_size(size)} fits"


def check_compile(backbone: BackboneUnderTest, backend: str | None = None) -> str:
    """Check that the compiled model gives the same outputs.

    Args:
        backbone: the backbone.
        backend: the backend of ``torch.compile``. When not given, ``inductor`` is used for a small model if there is a
            C++ compiler, else ``eager``, which captures the graph and generates no code.

    Returns:
        A sentence that names the backend that was used.
    """
    small = sum(parameter.numel() for parameter in backbone.model.parameters()) <= _INDUCTOR_MAX_PARAMETERS
    compiler = any(map(shutil.which, ("g++", "clang++", "cl")))
    tried = backend or ("inductor" if small and compiler else "eager")
    why = (
        "" if backend or tried == "inductor" else "; no C++ compiler" if small else "; too large to generate code here"
    )
    images = backbone.random_images(2)
    want = _compute_logits(backbone.model, images)
    torch._dynamo.reset()  # graphs of an earlier backbone would count against the recompilation limit
    try:
        with _time_limit(_COMPILE_TIMEOUT_S):
            got = _compute_logits(torch.compile(copy.deepcopy(backbone.model), backend=tried), images)
    except torch._inductor.exc.InductorError as error:
        first = str(error).splitlines()[0]
        raise CheckSkipped(f"inductor does not work on this machine ({first})") from error
    except TimeoutError as error:
        raise CheckSkipped(f"compiling with {tried} took longer than {_COMPILE_TIMEOUT_S} s") from error
    finally:
        torch._dynamo.reset()
    distance = _relative_difference(got, want)
    if not distance <= 1e-3:
        raise ContractViolation(f"compiled with {tried} the outputs differ (relative difference {distance:.2g})")
    return f"backend {tried}{why}, relative difference {distance:.1g}"


CONTRACT_CHECKS: dict[str, ContractCheck] = {
    "output shapes": check_output_shapes,
    "determinism": check_determinism,
    "gradients": check_gradients,
    "batch independence": check_batch_independence,
    "odd sizes": check_odd_sizes,
    "state dict": check_state_dict,
    "bfloat16": check_bfloat16,
    "features": check_features,
    "layer decay": check_layer_decay,
}
"""Name of the check -> function, in the order of the printed table. ``check_compile`` runs only on request."""


def _model_for_size(backbone: BackboneUnderTest, size: tuple[int, int]) -> tuple[nn.Module, bool]:
    """Return a model that accepts a size, and whether it had to be created for it.

    The shared model is used if it accepts the size at run time.
    """
    if size == backbone.img_size:
        return backbone.model, False
    try:
        with torch.no_grad():
            extract_pyramid(backbone.model, backbone.random_images(1, size))
    except UserError:
        return backbone.create_perturbed(size, seed=0), True
    return backbone.model, False


def _require_full_grids(model: nn.Module, maps: Sequence[Tensor], size: tuple[int, int]) -> None:
    """Raise if a feature map has fewer cells than the image needs, which means that its border was cut off."""
    depths = get_reductions(model)[-1:] * len(maps) if is_plain_backbone(model) else get_reductions(model)[-len(maps) :]
    for value, reduction in zip(maps, depths, strict=True):
        for got, side in zip(value.shape[-2:], size, strict=True):
            # a strided convolution may round up or down; a patch grid that rounds down has cut off the border
            allowed = {math.ceil(side / reduction)} | (set() if is_plain_backbone(model) else {side // reduction})
            if int(got) not in allowed:
                raise ContractViolation(
                    f"{_format_size(size)} is silently accepted with a grid of {got} for {side} px (1/{reduction})"
                )


def _feature_info(model: nn.Module) -> list[dict[str, Any]]:
    """Return timm's ``feature_info`` as a list, whether it is one or a ``FeatureInfo`` object."""
    info: Any = model.feature_info
    return info if isinstance(info, list) else list(info.get_dicts())


def _compute_logits(model: Any, images: Tensor) -> Tensor:
    """Return the classifier's output without gradients, shape (batch, classes)."""
    with torch.no_grad():
        logits: Tensor = model(images)
    return logits


def _logits_and_features(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and last features. A classifier alone may hide what the trunk does."""
    forward: Any = model.forward_features
    with torch.no_grad():
        last: Tensor = forward(images)
    return _compute_logits(model, images), last


def _relative_difference(one: Tensor, other: Tensor) -> float:
    """Return the norm of the difference relative to the norm of ``other``; infinite if either is not finite."""
    value = float((one - other).norm() / other.norm().clamp_min(1e-12))
    return value if math.isfinite(value) else math.inf


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """Raise ``TimeoutError`` in the block after some seconds; only in the main thread, on systems with alarms."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: object) -> None:
        raise TimeoutError

    # restored afterwards: a test runner or scheduler may have its own handler
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _format_size(size: tuple[int, int]) -> str:
    """Format height and width."""
    return f"{size[0]}x{size[1]}"


def _shorten_list(names: list[str]) -> str:
    """Join at most five names, and say how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
