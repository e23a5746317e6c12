"""Leave out the runs with which something cannot be built, so that one bad record does not stop a command for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from foundation.errors import BenchError
from foundation.storage.fault_isolation import describe_fault
from results.records.record import Record

_Built = TypeVar("_Built")

StoredRuns = Sequence[tuple[Path, Record]]
"""Folders of runs and their records."""


def build_without_faulty(runs: StoredRuns, build: Callable[[StoredRuns], _Built], errors: list[str]) -> _Built:
    """Build something from runs; if that fails, build it from those with which it does not.

    Records are checked when they are read, so this is for what no check foresaw: it costs nothing until then.

    Args:
        runs: the runs.
        build: builds something from some of the runs.
        errors: takes one sentence for each run that is left out.

    Raises:
        BenchError: an error of ``build`` that was foreseen.
        Exception: another one, which occurs with no single run, or without any.
    """
    try:
        return build(runs)
    except BenchError:
        raise
    except Exception:
        faulty = _find_faulty(runs, build)
        if not faulty:
            raise
        errors += faulty.values()
        return build([run for run in runs if run[0] not in faulty])


def _find_faulty(runs: StoredRuns, build: Callable[[StoredRuns], object]) -> dict[Path, str]:
    """Return the runs with each of which alone it fails, with a sentence; by halves, as most of them are sound."""
    if not runs:
        return {}
    try:
        build(runs)
    except BenchError:  # foreseen, for example that a part of the runs has none of the task that is asked for
        return {}
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not stop the others
        folder, middle = runs[0][0], len(runs) // 2
        if not middle:
            return {folder: f"cannot use the run in {folder}: {describe_fault(error)}"}
        return {**_find_faulty(runs[:middle], build), **_find_faulty(runs[middle:], build)}
    return {}
