"""Each guard of this folder's topics is taken out of a copy of the source; its test must go red."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from tests.guards import Guard, SourceCopy, copy, list_guard_names

__all__ = ["copy"]


KEPT = 1
"""So many guards of each topic are taken out in every suite, the others by ``make soak``: they tell whether a test can
still fail, and that changes only with the test."""


def _collect_guards() -> dict[str, Guard]:
    found: dict[str, Guard] = {}
    for path in sorted(Path(__file__).parent.glob("guards_*.py")):
        guards = importlib.import_module(f"tests.wrong_numbers.{path.stem}").GUARDS
        assert not found.keys() & guards.keys(), f"{path.name} repeats the name of a guard"
        kept = [name for name, guard in guards.items() if not guard.soak][:KEPT]
        found |= {name: guard._replace(soak=name not in kept) for name, guard in guards.items()}
    return found


GUARDS = _collect_guards()


@pytest.mark.parametrize("name", list_guard_names(GUARDS))
def test_without_the_guard_its_test_goes_red(name: str, copy: SourceCopy) -> None:
    assert not copy.passes_without(GUARDS[name])
