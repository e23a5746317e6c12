"""A process that loads the libraries once and answers each request in a fork of itself.

Importing the libraries takes longer than most tests. The tree's own modules are imported in the fork alone, so that
every run sees the tree as it then is. As the project is tested on Linux, there is no other way where ``fork`` is not.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

LIBRARIES = (
    *("cv2", "got10k.utils.metrics", "jinja2", "matplotlib.figure", "mmseg.datasets", "mmseg.evaluation"),
    *("mmseg.models", "pydantic.json_schema", "pytest", "rich.progress", "scipy.io"),
    *("scipy.stats", "sklearn.datasets", "sklearn.linear_model", "timm", "yapf.yapflib.yapf_api"),
)
NO_RESULT = 70  # the exit code of a fork that could not run its request


def serve_forks(run_request: Callable[[str], int]) -> None:
    """Loads the libraries, writes 0, and answers each line of stdin with the exit code of a fork that ran it."""
    answers = os.fdopen(os.dup(1), "w")  # of its own: libraries print while they are imported
    os.dup2(2, 1)
    house = list_rooms()
    # older versions of pyarrow, which scikit-learn imports, have a thread that gives memory back
    os.environ["JE_ARROW_MALLOC_CONF"] = "background_thread:false"
    for name in LIBRARIES:
        importlib.import_module(name)
    early = house & {name.partition(".")[0] for name in sys.modules}
    assert early == {"tests"}, f"imported before the fork: {early}"  # of tests, nothing but the server
    assert len(os.listdir("/proc/self/task")) == 1, "a fork would lose the threads of the libraries"  # noqa: PTH208
    gc.collect()
    gc.freeze()  # pytest collects garbage at its end; it need not walk through the libraries
    answers.write("0\n")
    answers.flush()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = NO_RESULT
            try:
                code = run_request(line)
                atexit._run_exitfuncs()
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)  # at once: nobody needs the libraries taken down
        _, status = os.waitpid(child, 0)
        answers.write(f"{os.waitstatus_to_exitcode(status)}\n")
        answers.flush()


def list_rooms() -> set[str]:
    """The packages at the top of the tree that the process was started in."""
    return {path.parent.name for path in Path().glob("*/__init__.py")}
