"""Where the command ``bench`` enters. Importing this package has checked the rooms (``litevit_bench._rooms``)."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; see ``benchmarks.cli.main``.

    Args:
        arguments: words after ``bench``; those of the process where not given.

    Returns:
        The exit code: 0, 1 (a failure), 2 (something the user can put right), 130 (interrupted).
    """
    from benchmarks.cli.main import main as run_command_line

    return run_command_line(arguments)
