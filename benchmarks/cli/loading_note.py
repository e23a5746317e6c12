"""Say that PyTorch is being loaded, which takes seconds in which a command would otherwise show nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from types import ModuleType

from benchmarks.cli.output import write_message

LOADING_NOTE = "loading PyTorch, which takes some seconds"


class _ImportWatcher(MetaPathFinder):
    """Writes the note when torch is first asked for, and leaves finding it to Python's own finders."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        """Find nothing; a finder that returns ``None`` is passed over.

        Args:
            fullname: dotted name of the module that is imported.
            path, target: as Python gives them; not needed.
        """
        if fullname == "torch":
            _remove_watcher(self)  # before anything else: one note is enough, and torch imports itself again
            write_message(LOADING_NOTE)


@contextmanager
def announce_loading() -> Iterator[None]:
    """Write one line to stderr as soon as something inside imports torch, and none where nothing does.

    Dozens of places import torch, each as late as it can, and a command that is answered from a record imports it
    nowhere. So the import itself is watched, not the places.
    """
    # of several processes one speaks; the variable is read as text, since a wrong one is reported later
    if "torch" in sys.modules or os.environ.get("RANK", "0") != "0":
        yield
        return
    watcher = _ImportWatcher()
    sys.meta_path.insert(0, watcher)
    try:
        yield
    finally:
        _remove_watcher(watcher)


def _remove_watcher(watcher: _ImportWatcher) -> None:
    if watcher in sys.meta_path:
        sys.meta_path.remove(watcher)
