"""``make gpu``: the GPU tests, then speeds, in one report (text and JSON); it ends within its budget and says what is
missing.

Without ``.venv`` and network: ``make gpu GPU_PYTHON=python3``, with the packages on ``PYTHONPATH``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import traceback
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.cli.output import align_columns, write_stdout
from engine.run_environment import collect_package_versions, get_git_state, utc_now

HOME = Path(__file__).resolve().parents[2]
BUDGET = 520.0  # seconds: nine minutes, with some to spare
TEST_SHARE = 0.6  # of the budget that the tests may take


def run_tests(seconds: float) -> list[dict[str, Any]]:
    """Run the tests that are marked gpu; one entry for each, with its outcome and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        words = ("-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={report}")
        places = ("tests/gpu", "tests/backbones/cost")
        workers = ("-n", "6") if (os.cpu_count() or 1) >= 8 else ()
        try:
            subprocess.run([sys.executable, *words, *workers, *places], cwd=HOME, timeout=seconds, stdout=sys.stderr)
        except subprocess.TimeoutExpired:
            return [{"name": "all tests", "outcome": "stopped", "seconds": seconds, "message": "the time was over"}]
        return list(_read_outcomes(report))


def _read_outcomes(report: Path) -> Iterator[dict[str, Any]]:
    for case in ET.parse(report).getroot().iter("testcase"):
        outcome, message = "passed", ""
        for kind in ("failure", "error", "skipped"):
            if (found := case.find(kind)) is not None:
                outcome, message = (
                    kind,
                    (found.get("message") or "").splitlines()[0][:300] if found.get("message") else "",
                )
        name = f"{case.get('classname')}::{case.get('name')}"
        yield {"name": name, "outcome": outcome, "seconds": float(case.get("time") or 0), "message": message}


def measure_speeds(end: float) -> list[dict[str, Any]]:
    """Measure one group after the other until the time is over; a group that fails is named with its error."""
    from tests.gpu import speeds

    lines: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        speeds.write_data(Path(folder))
        groups = {
            "pre-training": speeds.time_pretraining(),
            "tracker": speeds.time_tracker(),
            "attention": speeds.time_attention(),
            "protocols": speeds.time_runs(Path(folder)),
        }
        for name, group in groups.items():
            try:
                for found in group:
                    lines += [each._asdict() for each in found]
                    if time.monotonic() > end:
                        lines.append({"name": name, "missing": "the rest: the time was over"})
                        break
            except Exception as error:  # noqa: BLE001 - one group must not cost the report of the others
                traceback.print_exc()
                lines.append({"name": name, "missing": f"{type(error).__name__}: {error}"[:300]})
    return lines


def describe_machine() -> dict[str, Any]:
    """The card, its driver, and what runs on it."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    source = get_git_state()
    return {
        "card": subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip(),
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "packages": collect_package_versions(),
        "commit": source.commit,
        "changed": source.dirty,
        "date": utc_now(),
    }


def write_report(out: Path, content: dict[str, Any]) -> str:
    """Write the report as JSON and as text, and return the text."""
    tests, speeds = content["tests"], content["speeds"]
    bad = [each for each in tests if each["outcome"] not in ("passed", "skipped")]
    rows = [("what", "value", "unit", "beside it")]
    for each in speeds:
        if "missing" in each:
            rows.append((each["name"], "not measured", "", each["missing"]))
        else:
            rows.append((each["name"], f"{each['value']:.3f}", each["unit"], each["beside"]))
    text = "\n".join(
        [
            f"{content['machine']['card']}, CUDA {content['machine']['cuda']}, "
            f"torch {content['machine']['packages'].get('torch')}, commit {content['machine']['commit']}",
            f"tests: {sum(each['outcome'] == 'passed' for each in tests)} passed, "
            f"{sum(each['outcome'] == 'skipped' for each in tests)} skipped, {len(bad)} failed "
            f"({sum(each['seconds'] for each in tests):.0f} s)",
            *(f"  {each['outcome']}: {each['name']}: {each['message']}" for each in bad),
            align_columns(rows),
        ]
    )
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(content, indent=1) + "\n")
    (out / "report.txt").write_text(text + "\n")
    return text


def main() -> int:
    """Run all of it; 1 if a test failed."""
    parser = argparse.ArgumentParser(prog="make gpu", description="GPU tests and speeds, in one report")
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder of the report")
    parser.add_argument("--seconds", type=float, default=BUDGET, help="time for all of it")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.stderr.write(
            "make gpu: PyTorch finds no CUDA device here, so nothing can be tested; use a machine with one\n"
        )
        return 1
    began = time.monotonic()
    tests = run_tests(TEST_SHARE * options.seconds)
    speeds = measure_speeds(began + options.seconds)
    content = {"machine": describe_machine(), "tests": tests, "speeds": speeds}
    write_stdout(write_report(options.out, content) + "\n")
    return int(any(each["outcome"] not in ("passed", "skipped") for each in tests))


if __name__ == "__main__":
    sys.exit(main())
