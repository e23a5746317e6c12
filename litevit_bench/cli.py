"""Where the command ``bench`` enters. Importing this package has checked the rooms (``litevit_bench._rooms``)."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; see ``benchmarks.cli.main``.

    Args:
        arguments: words after ``bench``; those of the process where not given.

    Returns:
        The exit code: 0, 1 (a failure), 2 (something the user can put right), 130 (interrupted).
    """
    try:
        from benchmarks.cli.main import main as run_command_line

        code = run_command_line(arguments)
    except KeyboardInterrupt:  # before the verb, which says more: while modules are imported or words are parsed
        sys.stderr.write("bench: interrupted\n")
        code = 130
    if arguments is None and os.environ.get("WORLD_SIZE", "1") != "1":  # whatever it is: a wrong one has been reported
        _exit_without_teardown(code)
    return code


def _exit_without_teardown(code: int) -> None:
    """End one of several processes after Python's own exit functions, before C++ destroys what is left.

    Threads of torch's gloo may still run then, and the process aborts although its work is done and written (seen in
    1 of 9 runs on a busy machine): torchrun would report a failure.
    """
    atexit._run_exitfuncs()  # loggers write their last values here
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
