"""Versions are found whichever build of a library is installed, and without an installation of bench."""

import pytest

from engine.run_environment import collect_package_versions
from foundation import package_versions
from foundation.package_versions import find_build, find_version, get_own_version


@pytest.fixture
def installed(monkeypatch):
    """Replace what is installed by a dictionary."""

    def pretend(**versions):
        names = {name.replace("_", "-"): number for name, number in versions.items()}

        def version(name):
            if name not in names:
                raise package_versions.PackageNotFoundError(name)
            return names[name]

        monkeypatch.setattr(package_versions, "version", version)

    return pretend


def test_another_build_counts(installed):
    installed(opencv_python_headless="5.0", onnxruntime_gpu="1.31")
    assert find_build("opencv-python") == ("opencv-python-headless", "5.0")
    assert find_version("onnxruntime") == "1.31"
    assert find_version("torch") is None
    assert collect_package_versions()["opencv-python-headless"] == "5.0"


def test_source_tree_without_installation_has_its_version(installed, monkeypatch, tmp_path):
    expected = get_own_version()
    installed()
    assert get_own_version() == expected
    monkeypatch.setattr(package_versions, "__file__", str(tmp_path / "foundation" / "package_versions.py"))
    assert get_own_version() == "unknown"
    (tmp_path / "pyproject.toml").write_text('name = "other"\nversion = "9"\n', encoding="utf-8")
    assert get_own_version() == "unknown"
