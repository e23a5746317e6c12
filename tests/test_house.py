"""The house rules that a tool can hold: names, comments, sizes, docstrings, and what must not be in the project."""

from __future__ import annotations

import ast
import re
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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= 400
    tree = ast.parse(source)
    assert ast.get_docstring(tree), "a module says what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if path.is_relative_to(ROOT / "litevit_bench"):  # the docstrings of the interface are its manual
                length -= len((ast.get_docstring(node) or "").splitlines())
            assert length <= 60, f"{node.name} has {length} lines"


# names of typing that Python 3.10 does not have
NEW_IN_TYPING = {"LiteralString", "Never", "NotRequired", "Required", "Self", "assert_never", "assert_type", "override"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_typing_has_the_imported_names_in_python_310(path: Path) -> None:
    """What stands under ``if TYPE_CHECKING`` is not imported, and is not looked at."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module == "typing":
            assert not {alias.name for alias in node.names} & NEW_IN_TYPING


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
    # the one exception: made by this project alone, see docs/decisions/0015-a-tracker-that-ships.md
    shipped = ["tracking/correlation/shipped/first_tracker.safetensors"]
    assert [name for name in files if name.endswith(weights)] in ([], shipped)
    # per-item outcomes of our own runs, from which a committed table follows, may be somewhat larger
    most = {name: 400_000 if name.startswith("results/reference_runs/") else 300_000 for name in files}
    assert not [name for name in files if (ROOT / name).stat().st_size > most[name]]


@pytest.mark.parametrize("room", [room for room in ROOMS if room != "benchmarks"])
def test_only_the_front_desk_reads_options(room: str) -> None:
    """Below it, what a command was asked travels in typed requests. A checkpoint may hold a pickled Namespace."""
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / room).rglob("*.py"))
        if path.name not in ("read_content.py", "pickle_stubs.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and "argparse" in [alias.name for alias in node.names])
        or (isinstance(node, ast.ImportFrom) and node.module == "argparse")
    ]
    assert not found


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
