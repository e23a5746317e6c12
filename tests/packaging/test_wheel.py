"""The wheel holds what the rooms hold, and works where the source tree is far away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email.parser import Parser
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import ROOT
from tests.house_metrics import ROOMS, list_tracked_files
from tests.limits import HANG_SECONDS
from tests.project_file import read_project

NOT_SHIPPED = ("results/reference_runs/",)
"""Records for readers of the repository."""


class Distributions(NamedTuple):
    """What the build backend made: a wheel and a source archive."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """Both, built by the backend that pyproject.toml names, without network."""
    return build_distributions(ROOT, tmp_path_factory.mktemp("dist"))


def build_distributions(source: Path, out: Path) -> Distributions:
    """Build a source tree as ``pip`` and ``build`` do, but in this environment."""
    words = [sys.executable, "-m", "hatchling", "build", "-d", str(out)]
    done = subprocess.run(words, cwd=source, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Distributions(wheel, sdist)


def list_wheel_files(wheel: Path) -> set[str]:
    """The names of the files in a wheel that are not its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_else(built: Distributions) -> None:
    tracked = list_tracked_files(ROOT)
    if not tracked:
        pytest.skip("not a git checkout")
    expected = {name for name in tracked if name.split("/")[0] in ROOMS and not name.startswith(NOT_SHIPPED)}
    found = list_wheel_files(built.wheel)
    assert expected - found == set()
    # a file that is new and not yet added to git is built in too; it must at least belong to a room
    assert {name.split("/")[0] for name in found - expected} <= set(ROOMS)
    assert not [name for name in found if name.startswith(("tests/", *NOT_SHIPPED)) or name.endswith(".pyc")]
    assert {f"{room}/py.typed" for room in ROOMS} <= found


def test_the_metadata_say_what_the_project_file_says(built: Distributions) -> None:
    project = read_project()["project"]
    with zipfile.ZipFile(built.wheel) as archive:
        (folder,) = {name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name}
        metadata = Parser().parsestr(archive.read(f"{folder}/METADATA").decode())
        licence = archive.read(f"{folder}/licenses/LICENSE")
        points = archive.read(f"{folder}/entry_points.txt").decode()
    assert folder == f"litevit_bench-{project['version']}.dist-info"
    assert metadata["Requires-Python"] == project["requires-python"]
    assert metadata["License-Expression"] == "Apache-2.0" and licence == (ROOT / "LICENSE").read_bytes()
    assert set(metadata.get_all("Classifier") or ()) == set(project["classifiers"])
    assert set(metadata.get_all("Provides-Extra") or ()) == set(project["optional-dependencies"])
    assert points == "[console_scripts]\nbench = litevit_bench.cli:main\n"


def test_the_source_archive_builds_the_same_wheel(built: Distributions, tmp_path: Path) -> None:
    with tarfile.open(built.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        if hasattr(tarfile, "data_filter"):
            archive.extractall(tmp_path / "source", filter="data")
        else:  # early releases of Python 3.10 and 3.11
            archive.extractall(tmp_path / "source")
    assert {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml"} <= names
    assert not [name for name in names if name.startswith(("tests/", "docs/", ".ci/", *NOT_SHIPPED))]
    (source,) = (tmp_path / "source").iterdir()
    again = build_distributions(source, tmp_path / "dist").wheel
    with zipfile.ZipFile(again) as second, zipfile.ZipFile(built.wheel) as first:
        contents = [{name: archive.read(name) for name in archive.namelist()} for archive in (first, second)]
    assert contents[0] == contents[1]


class Installed(NamedTuple):
    """An environment with the wheel, and a folder of a user in which nothing of ours is.

    Attributes:
        python: the interpreter of the environment.
        home: the folder.
        run: runs a program of the environment in the folder.
    """

    python: Path
    home: Path
    run: Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def installed(built: Distributions, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an environment of its own, which has the packages of this one, and not its source tree."""
    venv, home = tmp_path_factory.mktemp("venv"), tmp_path_factory.mktemp("home")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    install = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([sys.executable, "-m", "pip", *install, str(built.wheel)], check=True, timeout=HANG_SECONDS)
    # a path in a .pth file is searched without being looked at for such files itself: with the packages of this
    # environment, the link of an editable installation of bench is not followed
    (site,) = venv.glob("lib/python*/site-packages")
    packages = [path for path in sys.path if Path(path).name == "site-packages"]
    (site / "parent.pth").write_text("\n".join(packages) + "\n")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"BENCH_CACHE": str(home / "cache")}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = [str(venv / "bin" / words[0]), *words[1:]]
        done = subprocess.run(program, cwd=home, env=env, capture_output=True, text=True, timeout=HANG_SECONDS)
        assert done.returncode == 0, done.stderr
        return done

    return Installed(python, home, run)


def test_an_installed_wheel_works_in_another_folder(installed: Installed) -> None:
    words = ("bench", "run", "digits", "--backbone", "vit_pico", "--protocol", "knn", "--seeds", "0", "1", "--json")
    runs = json.loads(installed.run(*words).stdout)
    environment = runs[0]["record"]["environment"]
    assert environment["packages"]["litevit-bench"] == read_project()["project"]["version"]
    assert environment["git_commit"] is None  # of the wheel, and not of a repository around it
    table = installed.run("bench", "table", "--format", "json")
    assert "vit_pico" in table.stdout
    shown = f"{runs[0]['record']['result']['metrics']['top1']['value']:.2f}"
    assert shown in installed.run("bench", "list", "runs").stdout
    assert sorted(path.name for path in installed.home.iterdir()) == ["cache", "runs"]


def test_it_is_the_wheel_that_runs(installed: Installed) -> None:
    code = (
        "import json, sys, litevit_bench as bench\n"
        "from results.published.rows import read_published\n"
        "sys.stdout.write(json.dumps([bench.__file__, len(read_published()), 'torch' in sys.modules]))\n"
    )
    file, rows, torch = json.loads(installed.run("python", "-c", code).stdout)
    assert Path(file).is_relative_to(installed.python.parent.parent) and not Path(file).is_relative_to(ROOT)
    assert (rows > 90, torch) == (True, False)  # data files are found, and nothing heavy is imported for them


TYPED_USE = """
import litevit_bench as bench
from results.records.record import Record

reveal_type(bench.run("digits", "vit_nano", protocol="knn"))
record: Record = bench.run("digits", "vit_nano")
reveal_type(record.result)
bench.run("digits", "vit_nano", protocol=3)
"""


@pytest.mark.soak
def test_a_user_of_the_wheel_gets_types(installed: Installed) -> None:
    """mypy in a user's folder follows the annotations into the rooms, because each says that it is typed."""
    use = installed.home / "use.py"
    use.write_text(TYPED_USE)
    words = ["-m", "mypy", "--python-executable", str(installed.python), "--strict", "--no-incremental", str(use)]
    done: Any = subprocess.run(
        [sys.executable, *words], cwd=installed.home, capture_output=True, text=True, timeout=HANG_SECONDS
    )
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert 'note: Revealed type is "results.records.record.Record"' in lines, done.stdout + done.stderr
    assert 'note: Revealed type is "results.records.record.RunResult | None"' in lines, done.stdout
    errors = [line for line in lines if line.startswith("error")]
    assert len(errors) == 1 and '"protocol"' in errors[0], done.stdout
    use.unlink()
