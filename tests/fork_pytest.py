"""Runs tests of a tree in a fork of tests.bench_server: those of the copy from which a guard was taken out."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fork_server import NO_RESULT, list_rooms


def run_pytest(*words: str) -> None:
    """End with pytest's exit code, or with NO_RESULT when a module of the house came from another tree.

    Args:
        words: of pytest; the tree is the working folder.
    """
    import pytest

    rooms = list_rooms()
    sys.dont_write_bytecode = True  # a source that is changed twice in a second would be taken for its first change
    code = int(pytest.main([*words]))
    for name in [name for name in sys.modules if name.partition(".")[0] in rooms]:
        file = getattr(sys.modules[name], "__file__", None)
        if file and not Path(file).is_relative_to(Path.cwd()):
            sys.stdout.write(f"{name} is of another tree: {file}\n")
            sys.exit(NO_RESULT)
    sys.exit(code)
