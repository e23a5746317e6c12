"""Make sure that every room is the one of this installation: names such as ``engine`` are easily hidden.

A user's folder may hold an ``engine.py`` or a ``results/``. Where such a folder stands before this installation on
Python's path, code of somebody else would run under our names. This is found out before any room is imported, and
said in one sentence. Nothing of the house is imported here.
"""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
"""The folder that holds this package and all rooms."""

ROOMS = (
    *("foundation", "backbones", "results", "engine", "deployment", "pretraining", "classification"),
    *("segmentation", "detection", "tracking", "analysis", "benchmarks"),
)


class HiddenRoomError(ImportError):
    """Something else stands under the name of a room; the message names it and says what to do."""


def check_rooms() -> None:
    """Pass if each room resolves to this installation.

    Raises:
        HiddenRoomError: naming the first file or folder that hides a room.
    """
    for room in ROOMS:
        found = _locate_room(room)
        if found is None:
            raise HiddenRoomError(
                f"the part {room!r} of bench is not installed beside {HOME / 'litevit_bench'}; install bench again"
            )
        if found != HOME / room:
            raise HiddenRoomError(
                f"{found} hides the part {room!r} of bench, which is in {HOME / room}; rename it, or take "
                f"{found.parent} out of PYTHONPATH (or start Python in another folder)"
            )


def require_own_rooms() -> None:
    """As ``check_rooms``; the command ``bench`` writes the sentence and ends with code 2 instead of a trace.

    The command's own module is inside this package, which Python imports first: so this is where both are served.
    """
    try:
        check_rooms()
    except HiddenRoomError as error:
        if Path(sys.argv[0]).stem in ("bench", "-m"):  # "-m": Python is about to run ``python -m litevit_bench``
            sys.stderr.write(f"bench: {error}\n")
            raise SystemExit(2) from None
        raise


def _locate_room(room: str) -> Path | None:
    """What Python takes for a room: a folder, or a file that is no package; ``None`` if there is nothing."""
    loaded = sys.modules.get(room)
    spec = getattr(loaded, "__spec__", None) or PathFinder.find_spec(room)
    if spec is None:
        return None
    if spec.origin is None:  # a folder without __init__.py
        places = list(spec.submodule_search_locations or [])
        return Path(places[0]).resolve() if places else None
    path = Path(spec.origin).resolve()
    return path.parent if path.name == "__init__.py" else path
