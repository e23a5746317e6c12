from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import doctor
from benchmarks.doctor import Finding, diagnose_environment


def named(findings: list[Finding], what: str) -> Finding:
    return next(finding for finding in findings if finding.name == what)


def test_this_machine_is_in_order(tmp_path: Path) -> None:
    findings = diagnose_environment(tmp_path, tmp_path / "runs")
    assert not [finding for finding in findings if finding.state == "bad"]
    assert all(finding.fix for finding in findings if finding.state == "bad")
    assert "GiB free" in named(findings, "output folder").detail


def test_originals_beside_the_forks_are_a_clash_with_its_mend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = doctor.find_version
    monkeypatch.setattr(doctor, "find_version", lambda name: "2.1.0" if name == "mmcv-lite" else real(name))
    found = named(diagnose_environment(tmp_path, tmp_path), "mmcv-lite beside onedl-mmcv")
    assert found.state == "bad"
    assert found.fix == "pip uninstall -y mmcv-lite onedl-mmcv && pip install onedl-mmcv"


@pytest.mark.parametrize(
    ("package", "version", "mend"),
    [("got10k", None, "pip install got10k"), ("torch", "2.13.0+cpu", "torch 2.13.0 has no matching torchvision")],
)
def test_missing_and_wrong_packages(
    package: str, version: str | None, mend: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = doctor.find_version
    monkeypatch.setattr(doctor, "find_version", lambda name: version if name == package else real(name))
    found = named(diagnose_environment(tmp_path, tmp_path), package)
    assert found.state == "bad"
    assert mend in found.fix


def test_missing_data_root_and_unwritable_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    findings = diagnose_environment(tmp_path / "no_data", tmp_path / "file")
    assert "--data-root or $BENCH_DATA" in named(findings, "data root").fix
    assert named(findings, "output folder").state == "bad"
