"""The house rules that a tool can hold: names, comments, sizes, docstrings, and what must not be in the project."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.house_metrics import ROOMS, House, list_modules, list_tracked_files, measure_house

FILES = list_modules(ROOT)


@pytest.fixture(scope="module")
def house() -> House:
    """The house as it is now."""
    return measure_house()


def test_public_functions_have_a_verb_and_an_object(house: House) -> None:
    assert house.one_word_percent <= 12, house.one_word


def test_a_name_means_one_thing(house: House) -> None:
    assert house.homonym_percent <= 5, house.homonyms


def test_comments_say_why(house: House) -> None:
    assert house.comments_per_100 >= 6


def test_no_modules_import_each_other(house: House) -> None:
    assert house.circles == []


def test_folders_stay_small(house: House) -> None:
    assert {name: count for name, count in house.folders.items() if count > 16} == {}


def test_the_measure_finds_what_it_looks_for(tmp_path: Path) -> None:
    """A small house with one fault of each kind."""
    room = tmp_path / "engine"
    room.mkdir()
    (room / "__init__.py").write_text('"""A room."""\n')
    (room / "one.py").write_text(
        '"""One."""\nfrom engine.two import build_model  # why\n\n\n'
        'def settle():\n    """Not counted."""\n    # noqa: X\n'
    )
    (room / "two.py").write_text(
        '"""Two."""\n\n\ndef build_model():\n    from engine import one\n    return one\n\n\nclass Same:\n    pass\n'
    )
    (room / "three.py").write_text('"""Three."""\n\n\nclass Same:\n    pass\n')
    found = measure_house(tmp_path)
    assert [each.name for each in found.one_word] == ["settle"] and len(found.functions) == 2
    assert found.homonyms == {"Same": ["engine/three.py", "engine/two.py"]}
    assert found.circles == [["engine.one", "engine.two"]]
    assert (found.comments, found.folders) == (1, {"engine": 4})
    assert found.code_lines == 9  # import, def; def, import, return; twice class and pass


def list_size_faults(path: Path, source: str, tree: ast.Module) -> Iterator[str]:
    """What is too long in a module, or lacks its docstring."""
    if (lines := len(source.splitlines())) > 400:
        yield f"{lines} lines"
    if not ast.get_docstring(tree):
        yield "a module says what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if path.is_relative_to(ROOT / "litevit_bench"):  # the docstrings of the interface are its manual
                length -= len((ast.get_docstring(node) or "").splitlines())
            if length > 60:
                yield f"{node.name} has {length} lines"


# names of typing that Python 3.10 does not have
NEW_IN_TYPING = {"LiteralString", "Never", "NotRequired", "Required", "Self", "assert_never", "assert_type", "override"}


def list_new_typing_names(tree: ast.Module) -> Iterator[str]:
    """Names of typing that Python 3.10 lacks; what stands under ``if TYPE_CHECKING`` is not imported there."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            yield from {alias.name for alias in node.names} & NEW_IN_TYPING


def reads_options(path: Path, tree: ast.Module) -> bool:
    """Whether a module below the front desk takes what argparse gives; a checkpoint may hold a pickled Namespace."""
    if path.is_relative_to(ROOT / "benchmarks") or path.name in ("read_content.py", "pickle_stubs.py"):
        return False
    return any(
        (isinstance(node, ast.Import) and "argparse" in [alias.name for alias in node.names])
        or (isinstance(node, ast.ImportFrom) and node.module == "argparse")
        for node in ast.walk(tree)
    )


def test_modules_are_small_fit_python_310_and_leave_options_to_the_front_desk() -> None:
    """One look at each of a thousand files; a test for each file and rule would take twice the time."""
    found = []
    for path in FILES:
        source = path.read_text()
        tree = ast.parse(source)
        faults = [*list_size_faults(path, source, tree), *list_new_typing_names(tree)]
        # below the front desk, what a command was asked travels in typed requests
        faults += ["imports argparse"] if reads_options(path, tree) else []
        found += [f"{path.relative_to(ROOT)}: {fault}" for fault in faults]
    assert found == []


def test_each_rule_of_a_module_can_be_broken() -> None:
    body = "    pass\n" * 61
    source = f"import argparse\nfrom typing import Self\n\n\ndef work():\n{body}" + "\n" * 400
    path, tree = ROOT / "engine" / "made_up.py", ast.parse(source)
    faults = [*list_size_faults(path, source, tree)]
    assert faults == ["466 lines", "a module says what it is", "work has 62 lines"]
    assert [*list_new_typing_names(tree)] == ["Self"]
    assert reads_options(path, tree) and not reads_options(ROOT / "benchmarks" / "made_up.py", tree)


def test_every_room_is_installed_and_in_the_readme() -> None:
    readme, project = ((ROOT / name).read_text() for name in ("README.md", "pyproject.toml"))
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert folders == set(ROOMS)
    assert all(f"`{room}/`" in readme and f'"{room}",' in project for room in ROOMS)


def test_lock_holds_names_and_versions_only() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert line.startswith("#") or ("://" not in line and line.count("==") == 1), line


def test_no_data_or_weights_in_the_project() -> None:
    files = list_tracked_files(ROOT)
    if not files:
        pytest.skip("not a git checkout")
    weights = (".pth", ".pt", ".safetensors", ".npz", ".onnx", ".bin", ".jpg", ".mat")
    # the one exception: made by this project alone, see docs/decisions/0016-a-tracker-that-ships.md
    shipped = ["tracking/correlation/shipped/first_tracker.safetensors"]
    assert [name for name in files if name.endswith(weights)] in ([], shipped)
    # per-item outcomes of our own runs, from which a committed table follows, may be somewhat larger
    most = {name: 400_000 if name.startswith("results/reference_runs/") else 300_000 for name in files}
    assert not [name for name in files if (ROOT / name).stat().st_size > most[name]]


def test_no_test_has_a_time_limit_of_its_own() -> None:
    """A limit near to the quiet time of a child fails on a busy machine; tests/limits.py has the one net."""
    own = re.compile(r"timeout ?= ?\d{2,}|monotonic\(\) ?\+ ?\d|timeout: float = \d")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path.parent.name != "perf"
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if own.search(line)
    ]
    assert found == []
