from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from benchmarks import doctor
from benchmarks.doctor import LOGGERS, REQUIRED_PACKAGES, Finding, diagnose_environment, make_shared_report
from foundation.package_versions import get_own_version
from tests.conftest import Bench
from tests.project_file import read_project


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


def test_every_dependency_is_looked_for() -> None:
    project = read_project()["project"]
    # but for what only older versions of Python need
    names = {re.split(r"[><=!;\s]", line)[0] for line in project["dependencies"] if "python_version" not in line}
    assert set(REQUIRED_PACKAGES) == names - set(LOGGERS)


def test_the_report_for_an_issue_says_what_is_here_and_nothing_private(bench: Bench, tmp_path: Path) -> None:
    """Folders of the user, their name, and words that open a door elsewhere are not in it."""
    home = tmp_path / "home" / "alice"
    data = home / "data"
    for name in ("client_x", "imagenet"):
        (data / name).mkdir(parents=True)
    secrets = {
        "HF_TOKEN": "hf_door",
        "WANDB_API_KEY": "wandb_door",
        "HTTPS_PROXY": "http://me:proxy_door@localhost:1",
        "MLFLOW_TRACKING_PASSWORD": "mlflow_door",
    }
    words = ("doctor", "--json", "--data-root", str(data), "--out", str(tmp_path / "scratch" / "alice" / "runs"))
    done = bench(*words, HOME=str(home), LOGNAME="alice", BENCH_CACHE=str(home / ".cache"), **secrets)
    assert done.returncode == 0, done.stderr
    findings = {row["name"]: row for row in json.loads(done.stdout)}
    assert all(set(row) == {"name", "state", "detail", "fix"} for row in findings.values())
    assert findings["bench"]["detail"].startswith(get_own_version())
    assert {"system", "python", "torch", "threads", "device", *REQUIRED_PACKAGES} <= set(findings)
    assert findings["data root"]["detail"] == "~/data: 2 folders"
    assert "/scratch/USER/runs, " in findings["output folder"]["detail"]
    for word in ("alice", "client_x", "door", "proxy"):
        assert word not in done.stdout, word
    # who reads their own screen sees the names
    assert "client_x, imagenet" in bench(*words[:1], *words[2:]).stdout


def test_addresses_lose_what_stands_before_the_at() -> None:
    finding = Finding("plug-in x", "bad", "cannot reach https://me:door@example.org/a@b", "see ssh://you@host")
    (row,) = make_shared_report([finding])
    assert (row["detail"], row["fix"]) == ("cannot reach https://example.org/a@b", "see ssh://host")
