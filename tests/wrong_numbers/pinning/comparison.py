"""Compare what the code computes now with the pinned numbers, and say what to do where they differ."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from typing import Any, NamedTuple

from tests.conftest import ROOT

LOCKED_PACKAGES = (
    *("torch", "torchvision", "timm", "onedl-mmengine", "onedl-mmcv", "onedl-mmsegmentation"),
    *("numpy", "opencv-python", "pillow", "scikit-image", "scikit-learn"),
)
"""Packages that a training loss depends on: their random numbers, kernels, decoders and photographs."""


class Tolerance(NamedTuple):
    """How far a number may be from its pin.

    Attributes:
        relative, absolute: as in ``math.isclose``; texts, whole numbers and the shape of the data must be equal.
        needs_lock: whether the number is compared only where the locked versions of ``LOCKED_PACKAGES`` are installed.
    """

    relative: float
    absolute: float = 0.0
    needs_lock: bool = False


# The last bits of a float differ between processors and C libraries, so even an exact curve has a tolerance; a change
# of the code that moves a number by less than 1e-9 of it is not a change of the number.
EXACT = Tolerance(1e-9, 1e-18)
TOLERANCES = {
    "losses": Tolerance(1e-4, needs_lock=True),
    # of pixels that were normalized by a card: 0.02 is at most 2.6 of 255 levels, which decoders may differ by
    "pixels": Tolerance(0.0, 0.02),
    # of pixels from 0 to 255, likewise
    "decoded": Tolerance(0.0, 2.6),
    # probabilities: solvers stop at a tolerance, and float32 sums differ between processors
    "confidences": Tolerance(0.0, 0.001),
    # computed in float32 by a library
    "logits": Tolerance(1e-5, 1e-6),
    "followed": Tolerance(0.0, 0.01),
    # in percent; mmseg adds up float32
    "mmseg": Tolerance(0.0, 0.01),
}
"""By section, or by a key within a section; all others are ``EXACT``."""

STATISTICS = ("mean", "deviation")
"""Keys of values over a whole image, where differences of pixels average out: a tenth of the tolerance."""


def get_tolerance(section: str) -> Tolerance:
    """Return the tolerance of a section."""
    return TOLERANCES.get(section, EXACT)


def find_moved(section: str, pinned: Any, found: Any) -> list[str]:
    """Return where two pieces of plain data differ, one phrase each: ``losses.loss[1] is 2.31 and not 2.35``."""
    return list(_iter_moved(section, pinned, found, get_tolerance(section)))


def _iter_moved(place: str, pinned: Any, found: Any, tolerance: Tolerance) -> Iterator[str]:
    if isinstance(pinned, Mapping) and isinstance(found, Mapping):
        for key in dict.fromkeys([*pinned, *found]):
            if key not in found or key not in pinned:
                yield f"{place} {'has a new' if key in found else 'lacks'} {key}"
            else:
                inner = TOLERANCES.get(key, tolerance)
                if key in STATISTICS:
                    inner = inner._replace(absolute=inner.absolute / 10)
                yield from _iter_moved(f"{place}.{key}", pinned[key], found[key], inner)
    elif isinstance(pinned, list) and isinstance(found, list) and len(pinned) == len(found):
        for number, (old, new) in enumerate(zip(pinned, found, strict=True)):
            yield from _iter_moved(f"{place}[{number}]", old, new, tolerance)
    elif isinstance(pinned, float) and isinstance(found, float):
        # NaN is close to nothing, so a loss that is not a number never passes
        if not math.isclose(pinned, found, rel_tol=tolerance.relative, abs_tol=tolerance.absolute):
            yield f"{place} is {found:.10g} and not {pinned:.10g}"
    elif type(pinned) is not type(found) or pinned != found:
        yield f"{place} is {_shorten(found)} and not {_shorten(pinned)}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_lock() -> dict[str, str]:
    """Return the versions of ``requirements.lock`` by package."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return dict(line.lower().split("==", 1) for line in lines if "==" in line and not line.startswith("#"))


@cache
def describe_version_drift() -> str | None:
    """Return which of ``LOCKED_PACKAGES`` have another version than in ``requirements.lock``; ``None`` if none has."""
    locked = read_lock()
    # a build tag such as +cpu does not change the version
    installed = {name: version(name).partition("+")[0] for name in LOCKED_PACKAGES}
    other = [f"{name} {found} (locked {locked[name]})" for name, found in installed.items() if found != locked[name]]
    return f"losses are pinned at the locked versions; here are {', '.join(other)}" if other else None


def explain_move(room: str, name: str, versions: Mapping[str, int], moved: list[str]) -> str:
    """Return the message for numbers that moved: what moved, and what to do about it.

    Args:
        room: name of the room.
        name: key of the entry.
        versions: the protocols that the entry holds for, with the version of their pins.
        moved: phrases of ``find_moved``.
    """
    shown = "; ".join(moved[:4]) + (f"; and {len(moved) - 4} more" if len(moved) > 4 else "")
    if len(versions) == 1:
        whose, file = f"{room} {name}@{versions[name]}", f"{room}/configs/{name}.py"
    else:
        whose, file = f"every protocol of {room}", f"each file of {room}/configs"
    return (
        f"this change moves numbers of {whose}: {shown}. If that is intended, raise `version` in {file} (say why in "
        f"its docstring and in CHANGELOG.md) and run `python -m tests.wrong_numbers.pin {room}`. If only some inputs "
        'move, leave the version, add a marker to the config of those runs (config["fixes"]) and give the command '
        "--same-version REASON. See CONTRIBUTING.md, 'When a number moves'"
    )
