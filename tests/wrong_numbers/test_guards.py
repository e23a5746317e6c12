"""Each guard of this folder's topics is taken out of a copy of the source; its test must go red."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.guards import Guard, SourceCopy, copy, list_guard_names

__all__ = ["copy"]


def _collect_guards() -> dict[str, Guard]:
    found: dict[str, Guard] = {}
    for path in sorted(Path(__file__).parent.glob("guards_*.py")):
        guards = importlib.import_module(f"tests.wrong_numbers.{path.stem}").GUARDS
        assert not found.keys() & guards.keys(), f"{path.name} repeats the name of a guard"
        found |= guards
    return found


GUARDS = _collect_guards()


@pytest.mark.parametrize("name", list_guard_names(GUARDS))
def test_without_the_guard_its_test_goes_red(name: str, copy: SourceCopy) -> None:
    assert not copy.passes_without(GUARDS[name])
