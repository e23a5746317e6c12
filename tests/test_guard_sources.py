"""Each guard that a test takes out of the source is there, once, and its test is there too: known in a second.

Without this, a guard whose line was changed goes red only when the copy of the source is tested, and not at all in a
run without soak tests.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.guards import Guard


def find_guards(tests: Path) -> dict[str, dict[str, Guard]]:
    """The guards of every module of tests that assigns a literal dict to ``GUARDS``, by the module's path."""
    found = {}
    for path in sorted(tests.rglob("*.py")):
        text = path.read_text()
        if "\nGUARDS = {" in text or "\nGUARDS: " in text:
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[str(path.relative_to(tests))] = importlib.import_module(name).GUARDS
    return found


GUARDS = [
    pytest.param(guard, id=f"{module}: {name}")
    for module, guards in find_guards(ROOT / "tests").items()
    for name, guard in guards.items()
]


def find_fault(guard: Guard, root: Path) -> str:
    """What makes a guard test nothing; empty where nothing does."""
    text = (root / guard.file).read_text()
    if (count := text.count(guard.code)) != 1:
        return f"{guard.file} has {guard.code!r} {count} times"
    try:
        ast.parse(text.replace(guard.code, guard.replacement))
    except SyntaxError as error:
        return f"{guard.file} cannot be parsed without the guard: {error}"
    # several tests may be named; words of -k follow an option and name no file
    for word in [word for word in guard.test.split() if word.startswith("tests/")]:
        name, _, function = word.partition("::")
        if not (root / name).is_file():
            return f"there is no {name}"
        if function and f"def {function.partition('[')[0].rpartition('::')[2]}(" not in (root / name).read_text():
            return f"{name} has no {function}"
    return ""


@pytest.mark.parametrize("guard", GUARDS)
def test_a_guard_can_be_taken_out(guard: Guard) -> None:
    assert find_fault(guard, ROOT) == ""


def test_no_guards_are_overlooked() -> None:
    assert len(GUARDS) > 200
    modules = {path for path in (ROOT / "tests").rglob("*.py") if " Guard(" in path.read_text()} - {Path(__file__)}
    assert {str(path.relative_to(ROOT / "tests")) for path in modules} - {"guards.py"} == set(
        find_guards(ROOT / "tests")
    )


def test_what_makes_a_guard_useless_is_found(tmp_path: Path) -> None:
    (tmp_path / "room.py").write_text("if a:\n    raise b\nc = 1\nc = 1\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_room.py").write_text("def test_one():\n    pass\n")
    one = "tests/test_room.py::test_one"
    assert find_fault(Guard("room.py", "if a:", "if False:", one), tmp_path) == ""
    assert "0 times" in find_fault(Guard("room.py", "if d:", "if False:", one), tmp_path)
    assert "2 times" in find_fault(Guard("room.py", "c = 1", "", one), tmp_path)
    assert "cannot be parsed" in find_fault(Guard("room.py", "    raise b\n", "", one), tmp_path)
    assert "has no test_two" in find_fault(Guard("room.py", "if a:", "if 0:", "tests/test_room.py::test_two"), tmp_path)
    assert "no tests/test_two" in find_fault(Guard("room.py", "if a:", "if 0:", "tests/test_two.py -k one"), tmp_path)
