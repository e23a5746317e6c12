"""The checks of the backbone contract, one function each: a sentence, or ``Broken``, or ``NotTried``."""

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

from backbones.conformance.backbone_under_test import CLASSES, Broken, Check, NotTried, Subject
from backbones.conformance.depth import layer_decay
from backbones.features import is_plain, pooled, pyramid, reductions, require_size, tokens
from foundation.errors import UserError

_INDUCTOR_MAXIMUM = 2_000_000  # parameters: above, generating code takes minutes on a laptop
_COMPILE_SECONDS = 180


def output_shapes(subject: Subject) -> str:
    """Logits (N, classes), finite, at its size, another, and one that is not square."""
    height, width = subject.size
    sizes = (subject.size, (height + subject.step[0], width + subject.step[1]), (height, width + subject.step[1]))
    anew = []
    for size in sizes:
        model, made = _at(subject, size)
        logits = _forward(model, subject.images(2, size))
        if tuple(logits.shape) != (2, CLASSES):
            raise Broken(f"logits at {_px(size)} have shape {tuple(logits.shape)}, not (2, {CLASSES})")
        if not bool(torch.isfinite(logits).all()):
            raise Broken(f"logits at {_px(size)} are not finite")
        anew += [_px(size)] if made else []
    note = f"; made anew for {', '.join(anew)}" if anew else ", all with one model"
    return f"(N, {CLASSES}) at {', '.join(map(_px, sizes))}{note}"


def determinism(subject: Subject) -> str:
    """The same images give the same bits in eval mode, whatever the random state."""
    images = subject.images(2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = _both(subject.model, images)
        torch.manual_seed(2)
        second = _both(subject.model, images)
    if not all(torch.equal(a, b) for a, b in zip(first, second, strict=True)):
        raise Broken("two passes in eval mode differ: something random (dropout, drop path) stays on")
    return "two passes in eval mode agree bit for bit"


def gradients(subject: Subject) -> str:
    """Every trainable parameter gets a gradient that is not zero throughout, in training mode with nothing random.

    Training mode, for some models (LeViT) keep what they derive from parameters in eval mode, and some answer with
    several outputs; batch norm stays in eval, since over so few values its gradient vanishes.
    """
    model = copy.deepcopy(subject.model).train()
    for module in model.modules():
        if isinstance(module, _BatchNorm | _DropoutNd | DropPath):
            module.eval()
    outputs = [value for value in tree_leaves(model(subject.images(2))) if isinstance(value, Tensor)]
    torch.autograd.backward([(value * torch.linspace(-1, 1, value.numel()).view_as(value)).sum() for value in outputs])
    trainable = {name: value for name, value in model.named_parameters() if value.requires_grad}
    dead = [name for name, value in trainable.items() if value.grad is None or not bool(value.grad.any())]
    if dead:
        raise Broken(f"no gradient reaches {_some(dead)}")
    frozen = sum(1 for _ in model.parameters()) - len(trainable)
    return f"reach all {len(trainable)} trainable parameters" + (f" ({frozen} frozen)" if frozen else "")


def batch_independence(subject: Subject) -> str:
    """A row of a batch equals that image alone."""
    images = subject.images(3)
    whole = _both(subject.model, images)
    worst = 0.0
    for row in range(len(images)):
        alone = _both(subject.model, images[row : row + 1])
        for one, many in zip(alone, whole, strict=True):
            worst = max(worst, _distance(one, many[row : row + 1]))
    if not worst <= 1e-3:
        raise Broken(f"an image's outcome depends on the others in its batch (relative difference {worst:.2g})")
    return f"each row equals the image alone (relative difference {worst:.1g})"


def odd_sizes(subject: Subject) -> str:
    """A size that is no multiple is refused in a sentence, or works without cutting off the border."""
    height, width = subject.size
    odd = (height + 1, width - 1)
    answers = []
    for manner, made in (("run time", None), ("creation", odd)):
        try:
            model = subject.model if made is None else subject.fresh(made, seed=0)
            require_size(model, *odd)
            maps = pyramid(model, subject.images(1, odd))
        except UserError as refusal:
            if "\n" in str(refusal) or not str(refusal):
                raise Broken(f"{_px(odd)} at {manner} is refused, but not in one sentence") from refusal
            answers.append(f"refused at {manner}")
            continue
        _odd_grids(model, maps, odd)
        answers.append(f"works at {manner}")
    return f"{_px(odd)}: {', '.join(answers)}"


def state_dict(subject: Subject) -> str:
    """Saved, read with ``weights_only`` and loaded into another instance, it gives the same outputs."""
    file = io.BytesIO()
    torch.save(subject.model.state_dict(), file)
    file.seek(0)
    twin = subject.fresh(subject.size, seed=1)
    twin.load_state_dict(torch.load(file, weights_only=True), strict=True)
    images = subject.images(2)
    if not all(torch.equal(a, b) for a, b in zip(_both(subject.model, images), _both(twin, images), strict=True)):
        raise Broken("a second instance with the same state dict gives other outputs: weights outside the state dict")
    return f"{len(twin.state_dict())} tensors, saved, loaded, same outputs"


def bf16(subject: Subject) -> str:
    """In bfloat16 it runs, stays finite, and near fp32."""
    images = subject.images(2)
    model = copy.deepcopy(subject.model).to(torch.bfloat16)
    low = [value.float() for value in _both(model, images.to(torch.bfloat16))]
    if not all(bool(torch.isfinite(value).all()) for value in low):
        raise Broken("in bfloat16 the outputs are not finite")
    worst = max(_distance(one, other) for one, other in zip(low, _both(subject.model, images), strict=True))
    if not worst <= 0.1:
        raise Broken(f"in bfloat16 the outputs are far from fp32 (relative difference {worst:.2g}, at most 0.1)")
    return f"finite, relative difference from fp32 {worst:.2g}"


def features(subject: Subject) -> str:
    """Pyramid, tokens and pooled features have the shapes that ``feature_info`` promises, not square too."""
    size = (subject.size[0], subject.size[1] + subject.step[1])
    model, _ = _at(subject, size)
    images = subject.images(2, size)
    info = _feature_info(model)
    every = list(range(len(info)))
    with torch.no_grad():
        maps, default = pyramid(model, images, every), pyramid(model, images)
        last, vector = tokens(model, images), pooled(model, images, "avg")
    for tap, (entry, value) in enumerate(zip(info, maps, strict=True)):
        grid = tuple(math.ceil(side / entry["reduction"]) for side in size)
        want = (2, entry["num_chs"], *grid)
        if tuple(value.shape) != want:
            raise Broken(f"tap {tap} at {_px(size)} has shape {tuple(value.shape)}, feature_info promises {want}")
        if not bool(torch.isfinite(value).all()):
            raise Broken(f"tap {tap} is not finite")
    if len({value.data_ptr() for value in maps}) < len(maps):
        raise Broken("two taps are one tensor")
    if last.patches.shape[1] != last.grid[0] * last.grid[1] or last.patches.shape[0] != 2:
        raise Broken(f"tokens have shape {tuple(last.patches.shape)} for a grid of {last.grid}")
    if vector.ndim != 2 or len(vector) != 2:
        raise Broken(f"pooled features have shape {tuple(vector.shape)}, not (2, C)")
    kind = "blocks" if is_plain(model) else "stages"
    return f"{len(info)} {kind}, {len(default)} by default, {last.prefix.shape[1]} prefix tokens, {_px(size)} fits"


def compile_check(subject: Subject, backend: str | None = None) -> str:
    """``torch.compile`` gives the same outputs; the backend that was tried is named.

    Args:
        subject: the backbone.
        backend: of ``torch.compile``; when not given ``inductor`` for a small model where there is a C++ compiler,
            else ``eager``, which captures the graph and generates no code.
    """
    small = sum(parameter.numel() for parameter in subject.model.parameters()) <= _INDUCTOR_MAXIMUM
    compiler = any(map(shutil.which, ("g++", "clang++", "cl")))
    tried = backend or ("inductor" if small and compiler else "eager")
    why = (
        "" if backend or tried == "inductor" else "; no C++ compiler" if small else "; too large to generate code here"
    )
    images = subject.images(2)
    want = _forward(subject.model, images)
    torch._dynamo.reset()
    try:
        with _time_limit(_COMPILE_SECONDS):
            got = _forward(torch.compile(copy.deepcopy(subject.model), backend=tried), images)
    except torch._inductor.exc.InductorError as error:
        first = str(error).splitlines()[0]
        raise NotTried(f"inductor does not work on this machine ({first})") from error
    except TimeoutError as error:
        raise NotTried(f"compiling with {tried} took longer than {_COMPILE_SECONDS} s") from error
    finally:
        torch._dynamo.reset()
    distance = _distance(got, want)
    if not distance <= 1e-3:
        raise Broken(f"compiled with {tried} the outputs differ (relative difference {distance:.2g})")
    return f"backend {tried}{why}, relative difference {distance:.1g}"


CHECKS: dict[str, Check] = {
    "output shapes": output_shapes,
    "determinism": determinism,
    "gradients": gradients,
    "batch independence": batch_independence,
    "odd sizes": odd_sizes,
    "state dict": state_dict,
    "bfloat16": bf16,
    "features": features,
    "layer decay": layer_decay,
}
"""By what is checked, in the order of the table; ``torch.compile`` comes last and on request."""


def _at(subject: Subject, size: tuple[int, int]) -> tuple[nn.Module, bool]:
    """A model for a size: the shared one when it takes the size as it runs, else one made anew (and ``True``)."""
    if size == subject.size:
        return subject.model, False
    try:
        with torch.no_grad():
            pyramid(subject.model, subject.images(1, size))
    except UserError:
        return subject.fresh(size, seed=0), True
    return subject.model, False


def _odd_grids(model: nn.Module, maps: Sequence[Tensor], odd: tuple[int, int]) -> None:
    depths = reductions(model)[-1:] * len(maps) if is_plain(model) else reductions(model)[-len(maps) :]
    for value, reduction in zip(maps, depths, strict=True):
        for got, side in zip(value.shape[-2:], odd, strict=True):
            # a convolution's stride may round either way; a patch grid that rounds down has cut off the border
            allowed = {math.ceil(side / reduction)} | (set() if is_plain(model) else {side // reduction})
            if int(got) not in allowed:
                raise Broken(f"{_px(odd)} is taken in silence with a grid of {got} for {side} px (1/{reduction})")


def _feature_info(model: nn.Module) -> list[dict[str, Any]]:
    info: Any = model.feature_info
    return info if isinstance(info, list) else list(info.get_dicts())


def _forward(model: Any, images: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(images)
    return logits


def _both(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and last features: a classifier may hide what the trunk does."""
    forward: Any = model.forward_features
    with torch.no_grad():
        last: Tensor = forward(images)
    return _forward(model, images), last


def _distance(one: Tensor, other: Tensor) -> float:
    """Length of the difference relative to the second; infinite where either is not finite."""
    value = float((one - other).norm() / other.norm().clamp_min(1e-12))
    return value if math.isfinite(value) else math.inf


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """Raise ``TimeoutError`` after some seconds, where the system has alarms and this is the main thread."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _px(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
