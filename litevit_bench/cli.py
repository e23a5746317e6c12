"""Where the command ``bench`` enters: the rooms are checked before the first of them is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from litevit_bench._rooms import HiddenRoomError, check_rooms


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; see ``benchmarks.cli.main``.

    Args:
        arguments: words after ``bench``; those of the process where not given.

    Returns:
        The exit code: 0, 1 (a failure), 2 (something the user can put right), 130 (interrupted).
    """
    try:
        check_rooms()
    except HiddenRoomError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    from benchmarks.cli.main import main as run_command_line

    return run_command_line(arguments)
