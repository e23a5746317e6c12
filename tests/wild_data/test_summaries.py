"""Whatever folder is used, ``bench check data`` can describe and draw it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.task_registry import TASKS
from engine.data.data_options import make_data_options
from engine.pictures.contact_sheet import SHEET_WIDTH, draw_contact_sheet
from foundation.run_scope import open_run_scope
from tests.wild_data.test_count import list_cases

NUM_GROUPS = 8


@pytest.mark.parametrize("group", range(NUM_GROUPS))
def test_every_second_folder_that_is_used_is_summarized_and_drawn(group: int, tmp_path: Path) -> None:
    used = [case for case in list_cases() if not case.refused]
    # every second one, since writing and reading all of them again would double the time of this folder
    for number, case in enumerate(used[2 * group :: 2 * NUM_GROUPS]):
        root = tmp_path / str(number)
        root.mkdir()
        case.write(root)
        with open_run_scope(data_options=make_data_options(case.options)):
            summary = TASKS.get(case.task).summarize_data(root)
            assert summary is not None, case.name
            assert sum(split.num_items for split in summary.splits.values()) > 0, case.name
            assert 0 < len(summary.samples) <= 12, case.name
            assert draw_contact_sheet(summary.draw_samples(), case.name).width == SHEET_WIDTH, case.name
