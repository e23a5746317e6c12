"""Files of a user that bear the names of rooms are named in one sentence, before any code of theirs runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from litevit_bench._rooms import ROOMS
from tests import house_metrics
from tests.conftest import BENCH, ROOT
from tests.limits import HANG_SECONDS
from tests.project_file import read_project

MAKERS = {
    "engine.py": "raise SystemExit('foreign code ran')\n",
    "results/notes.txt": "a folder of my own",
    "tracking/__init__.py": "raise SystemExit('foreign code ran')\n",
}


def start(words: list[str], cwd: Path, *path: str) -> Any:
    """A process in a user's folder, with ``path`` before this source tree on Python's path."""
    own = {"PYTHONPATH": os.pathsep.join([*path, str(ROOT)])}
    return subprocess.run(words, cwd=cwd, env=os.environ | own, capture_output=True, text=True, timeout=HANG_SECONDS)


def make(folder: Path, name: str) -> Path:
    """A file of a user."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(MAKERS[name])
    return path


@pytest.mark.parametrize("name", MAKERS)
def test_a_users_own_file_does_no_harm_where_it_is_not_on_the_path(name: str, tmp_path: Path) -> None:
    make(tmp_path, name)
    done = start([BENCH, "list", "tasks"], tmp_path)
    assert (done.returncode, "foreign" in done.stderr) == (0, False), done.stderr
    assert "digits" in done.stdout


@pytest.mark.parametrize("name", ["engine.py", "tracking/__init__.py"])
@pytest.mark.parametrize("words", [[BENCH, "list", "tasks"], [sys.executable, "-m", "litevit_bench", "list", "tasks"]])
def test_a_hidden_room_is_named(name: str, words: list[str], tmp_path: Path) -> None:
    hiding = make(tmp_path, name)
    done = start(words, tmp_path, ".")
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    expected = hiding if hiding.name != "__init__.py" else hiding.parent
    assert line.startswith(f"bench: {expected} hides the part {name.partition('/')[0].removesuffix('.py')!r}")
    assert "PYTHONPATH" in line


def test_importing_the_package_says_it_too(tmp_path: Path) -> None:
    hiding = make(tmp_path, "engine.py")
    done = start([sys.executable, "-c", "import litevit_bench"], tmp_path)  # -c puts the folder first on the path
    assert done.returncode == 1
    assert f"HiddenRoomError: {hiding} hides the part 'engine'" in done.stderr
    assert "foreign code ran" not in done.stderr


def test_a_foreign_module_that_was_imported_before_is_named(tmp_path: Path) -> None:
    (tmp_path / "engine.py").write_text("MINE = 1\n")
    code = "import sys; sys.path.insert(0, '.'); import engine; sys.path.pop(0); import litevit_bench"
    done = start([sys.executable, "-c", code], tmp_path)
    assert done.returncode == 1 and "hides the part 'engine'" in done.stderr


def test_the_rooms_are_named_once_and_alike_everywhere() -> None:
    project = read_project()
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert {*ROOMS, "litevit_bench"} == packages == set(house_metrics.ROOMS)
    assert packages == set(project["tool"]["mypy"]["packages"])
    assert packages == set(project["tool"]["importlinter"]["root_packages"])
