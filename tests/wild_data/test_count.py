"""There are as many wild folders as were promised, and no two have one name."""

from __future__ import annotations

import importlib
from pathlib import Path

from tests.wild_data.wild_folder import WildFolder


def list_cases() -> list[WildFolder]:
    """Return the cases of all modules of this folder."""
    modules = sorted(path.stem for path in Path(__file__).parent.glob("test_*.py") if path.stem != "test_count")
    return [
        case for name in modules for case in getattr(importlib.import_module(f"tests.wild_data.{name}"), "CASES", ())
    ]


def test_both_outcomes_are_held_many_times() -> None:
    cases = list_cases()
    refused = sum(bool(case.refused) for case in cases)
    assert refused >= 80 and len(cases) - refused >= 80


def test_names_of_folders_are_unique() -> None:
    names = [(case.task, case.name) for case in list_cases()]
    assert len(names) == len(set(names))
