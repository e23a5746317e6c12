"""Third-party packages: found by their entry points, never able to hide the rest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT, Bench
from tests.limits import HANG_SECONDS

GUIDE = (ROOT / "docs" / "guides" / "add-a-backbone.md").read_text()
PLUGIN = re.search(r"```python\n(# my_package/vit\.py\n.*?)```", GUIDE, re.DOTALL)[1]  # type: ignore[index]


@pytest.fixture
def site(tmp_path: Path) -> str:
    """A folder with two installed packages: the backbone of the guide, and one that fails to import."""
    (tmp_path / "their_package.py").write_text(PLUGIN)
    (tmp_path / "bad_package.py").write_text("import a_module_that_is_not_there\n")
    for package, points in (
        ("theirs", "[bench.backbones]\nmy_vit = their_package:my_vit\n"),
        ("bad", "[bench.backbones]\nbad_vit = bad_package:vit\n[bench.tasks]\nbad_task = bad_package:TASK\n"),
    ):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(points)
    return os.pathsep.join([str(ROOT), str(tmp_path)])


def test_a_plugin_is_listed_and_runs_and_a_broken_one_is_named(bench: Bench, site: str, tmp_path: Path) -> None:
    listed = {row["name"]: row for row in json.loads(bench("list", "backbones", "--json", PYTHONPATH=site).stdout)}
    assert listed["my_vit"]["origin"] == "theirs 1.0"
    assert "No module named 'a_module_that_is_not_there'" in listed["bad_vit"]["error"]
    assert listed["vit_nano"]["error"] is None
    tasks = bench("list", "tasks", PYTHONPATH=site)
    assert "digits" in tasks.stdout
    assert "BROKEN: task 'bad_task' (bad_package:TASK of bad 1.0) is broken" in tasks.stdout
    words = ("run", "digits", "--backbone", "my_vit", "--tier", "smoke", "--set", "batch_size=512")
    done = bench(*words, "--out", str(tmp_path / "runs"), PYTHONPATH=site)
    assert done.returncode == 0, done.stderr
    refused = bench("run", "digits", "--backbone", "bad_vit", PYTHONPATH=site)
    assert refused.returncode == 2
    assert "is broken: ModuleNotFoundError" in refused.stderr


def test_a_plugin_that_claims_our_name_is_refused(bench: Bench, site: str, tmp_path: Path) -> None:
    (tmp_path / "theirs-1.0.dist-info" / "entry_points.txt").write_text(
        "[bench.backbones]\nvit_nano = their_package:my_vit\n"
    )
    refused = bench("list", "backbones", PYTHONPATH=site)
    assert refused.returncode == 2
    assert "'vit_nano' is registered twice: backbones.cards.small_images:VIT_NANO of bench and" in refused.stderr
    assert "their_package:my_vit of theirs 1.0" in refused.stderr


@pytest.mark.soak
def test_a_package_installed_by_pip_in_an_environment_of_its_own(bench: Bench, tmp_path: Path) -> None:
    """The steps of the guide as a third party would do them: a package, pip install, list, run."""
    package, venv = tmp_path / "package", tmp_path / "venv"
    (package / "my_package").mkdir(parents=True)
    (package / "my_package" / "__init__.py").write_text("")
    (package / "my_package" / "vit.py").write_text(PLUGIN)
    block = r"```toml\n# pyproject\.toml\n(\[project\.entry-points\.\"bench\.backbones\"\]\n.*?)```"
    points = re.search(block, GUIDE, re.DOTALL)
    assert points is not None
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n'
        f'[project]\nname = "their-vit"\nversion = "2.0"\n{points[1]}'
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "parent.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n{ROOT}\n")
    install = ["--python", str(python), "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([sys.executable, "-m", "pip", *install, str(package)], check=True)

    def theirs(*words: str) -> str:
        done = subprocess.run(
            [str(python), "-m", "litevit_bench", *words],
            capture_output=True,
            text=True,
            timeout=HANG_SECONDS,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    listed = {row["name"]: row for row in json.loads(theirs("list", "backbones", "--json"))}
    assert listed["my_vit"]["origin"] == "their-vit 2.0"
    run = theirs("run", "digits", "--backbone", "my_vit", "--tier", "smoke", "--set", "batch_size=512", "--json")
    assert json.loads(run)[0]["record"]["backbone"]["name"] == "my_vit"
    assert "my_vit: keeps the contract" in theirs("check", "backbone", "my_vit", "--img-size", "64")
