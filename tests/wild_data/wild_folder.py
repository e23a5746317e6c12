"""One folder as somebody has it, and what bench must do with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from benchmarks.task_registry import TASKS
from engine.data.data_options import make_data_options, require_task_options
from engine.task import DataReport
from foundation.errors import UserError
from foundation.run_scope import open_run_scope


@dataclass(frozen=True)
class WildFolder:
    """A folder of data.

    Attributes:
        name: what it is, in a few words; names the test.
        task: name of the task that reads it.
        write: writes it into an empty folder.
        options: the options of the data, as ``make_data_options`` takes them.
        splits: number of items by split, where the folder is used.
        notes: words that the notes of the report must hold, where it is used.
        refused: words that the refusal must hold, where it is refused: the folder or file, and the cure.
        check: further checks of the report and the folder, where it is used.
    """

    name: str
    task: str
    write: Callable[[Path], None]
    options: Mapping[str, Any] = field(default_factory=dict)
    splits: Mapping[str, int] | None = None
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    check: Callable[[DataReport, Path], None] | None = None


def check_wild_folder(case: WildFolder, folder: Path) -> None:
    """Write a folder and hold that it is used or refused as stated.

    Args:
        case: the folder.
        folder: an empty folder to write into; the data root.
    """
    assert (case.splits is None) != (not case.refused), "a folder is either used or refused"
    case.write(folder)
    task, options = TASKS.get(case.task), make_data_options(case.options)
    require_task_options(task, options)
    with open_run_scope(data_options=options):
        if case.refused:
            with pytest.raises(UserError) as refusal:
                task.check_data(folder, "all")
            sentence = str(refusal.value)
            missing = [words for words in case.refused if words not in sentence]
            assert not missing, f"{missing} not in: {sentence}"
            assert "unexpected" not in sentence and "\n" not in sentence
            return
        report = task.check_data(folder, "all")
    assert dict(report.splits) == dict(case.splits or {})
    notes = "; ".join(report.notes)
    missing = [words for words in case.notes if words not in notes]
    assert not missing, f"{missing} not in: {notes}"
    if case.check is not None:
        case.check(report, folder)
