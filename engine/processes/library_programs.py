"""Keep mmengine from starting programs of the system."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mmengine.hooks.runtime_info_hook
import mmengine.runner.runner


@contextmanager
def start_no_programs() -> Iterator[None]:
    """Let mmengine's runner write down no commit and no compiler while the context is active.

    It would start ``git`` in the current folder, whosever repository that is, at the start of a run and for every
    checkpoint, and a shell that calls the compiler. What a record says of the environment is collected elsewhere
    (``engine.run_environment``).
    """
    hook_module: Any = mmengine.hooks.runtime_info_hook
    runner_module: Any = mmengine.runner.runner
    replaced: list[tuple[Any, str, Callable[[], object]]] = [
        (hook_module, "get_git_hash", str),
        (runner_module, "get_git_hash", str),
        (runner_module, "collect_env", dict),
    ]
    before = [getattr(module, name) for module, name, _ in replaced]
    for module, name, make_empty in replaced:
        setattr(module, name, make_empty)
    try:
        yield
    finally:
        for (module, name, _), function in zip(replaced, before, strict=True):
            setattr(module, name, function)
