"""Checks of arguments: what argparse refuses on the command line is refused here in the same words."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.display_text import shorten_value
from foundation.errors import UserError
from foundation.suggest import did_you_mean
from foundation.values.number_ranges import MAX_SEED
from foundation.values.path_text import find_path_fault

if TYPE_CHECKING:
    from engine.data.data_options import DataOptions

PathLike = str | Path

TIERS = ("smoke", "short", "full")
DEVICES = ("auto", "cpu", "cuda", "mps")


def require_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Accept a value that is one of the choices.

    Raises:
        UserError: it is not; with the nearest choice, or all of them.
    """
    if value not in choices:
        hint = f"choose from {', '.join(map(str, choices))}"
        raise UserError(
            f"{name} cannot be {shorten_value(value)}{did_you_mean(str(value), list(map(str, choices)), hint=hint)}"
        )


def require_whole_number(name: str, value: Any, low: int = 0, high: int = MAX_SEED) -> None:
    """Accept an ``int`` in a range, by default that of seeds; ``True`` and 1.0 would be other seeds in a record than 1.

    Raises:
        UserError: anything else.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{name} must be a whole number, not {shorten_value(value)}")
    if not low <= value <= high:
        raise UserError(f"{name} must be from {low} to {high}, not {shorten_value(value)}")


def list_words(value: str | Sequence[str]) -> tuple[str, ...]:
    """One word or several, as several: a plain ``str`` would be taken for a sequence of letters."""
    return (value,) if isinstance(value, str) else tuple(value)


def require_path(name: str, value: Any) -> Path:
    """Accept the path of a file or folder; ``~`` is the home folder, as a shell has it.

    Raises:
        UserError: it is none; with what it is, since an image or a frame of a table is easily handed over instead.
    """
    if not isinstance(value, str | os.PathLike):
        raise UserError(f"{name} must be a path, a text or a pathlib.Path, not {type(value).__name__}")
    if fault := find_path_fault(os.fsdecode(value)):
        raise UserError(f"{name} is {shorten_value(os.fsdecode(value))}, which is no path: {fault}")
    return Path(value).expanduser()


def list_folders(places: PathLike | Sequence[PathLike], name: str = "runs") -> list[Path]:
    """One folder or several, as several.

    Raises:
        UserError: something that is no path.
    """
    if isinstance(places, str | os.PathLike) or not isinstance(places, Iterable):
        return [require_path(name, places)]
    return [require_path(name, place) for place in places]


def format_overrides(overrides: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Settings as ``--set`` takes them; what ``repr`` writes is read back as the same value.

    Raises:
        UserError: they are no mapping, as the texts of ``--set`` are none.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise UserError(f"settings are a dictionary, such as {{'img_size': 256}}, not {overrides!r:.80}")
    return tuple(f"{key}={_make_plain(value)!r}" for key, value in (overrides or {}).items())


def _make_plain(value: Any) -> Any:
    # a number or an array of NumPy or torch, and a path, have a ``repr`` that is no literal of Python
    if hasattr(value, "tolist"):
        return value.tolist()
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def resolve_places(data_root: PathLike | None, out: PathLike, device: str) -> dict[str, Any]:
    """Data folder, output folder and device, as fields of a ``CellRequest``.

    Raises:
        UserError: no such device, or something that is no path.
    """
    from foundation.environment import resolve_data_root

    require_choice("device", device, DEVICES)
    return {
        "data_root": resolve_data_root(None if data_root is None else require_path("data_root", data_root)),
        "out": require_path("out", out),
        "device": device,
    }


def convert_data_options(given: Mapping[str, Any] | None) -> DataOptions:
    """Convert the options of the data, by their names in ``DataOptions``.

    A single text stands for a list of one, a path for its text, and ``{255: 1}`` for ``["255=1"]``.

    Raises:
        UserError: they are no dictionary, a name is unknown, or a value is of the wrong kind.

    >>> convert_data_options({"exclude": "raw", "map": {255: 1}}).as_dict()
    {'exclude': ['raw'], 'map': ['255=1']}
    """
    from engine.data.data_options import make_data_options

    if given is not None and not isinstance(given, Mapping):
        raise UserError(f"data_options is a dictionary, such as {{'exclude': ['raw']}}, not {given!r:.80}")
    plain: dict[str, Any] = {}
    for name, value in (given or {}).items():
        plain[name] = os.fspath(value) if isinstance(value, os.PathLike) else value
        # the command line takes each of these more than once, so that they are lists there
        if name in ("exclude", "map", "ignore"):
            pairs = [f"{key}={index}" for key, index in value.items()] if isinstance(value, Mapping) else value
            plain[name] = [pairs] if isinstance(pairs, str | int) else pairs
        elif name == "target" and isinstance(value, int):
            plain[name] = str(value)
    return make_data_options(plain)
