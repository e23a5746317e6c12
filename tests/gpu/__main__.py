"""``make gpu``: the GPU tests, then speeds, in one report (text and JSON); it ends within its budget and says what is
missing.

Without ``.venv`` and network: ``make gpu GPU_PYTHON=python3``, with the packages on ``PYTHONPATH``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch

from benchmarks.cli.output import align_columns, write_stdout
from engine.run_environment import collect_package_versions, get_git_state, utc_now
from tests.gpu.conftest import OUTCOMES_VAR

HOME = Path(__file__).resolve().parents[2]
BUDGET = 520.0  # seconds: nine minutes, with some to spare
TEST_SHARE = 0.6  # of the budget that the tests may take


def run_tests(seconds: float) -> list[dict[str, Any]]:
    """Run the tests that are marked gpu; one entry for each that ended, with its outcome and its seconds."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "outcomes.jsonl"
        words = ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/gpu", "tests/backbones/cost"]
        if (os.cpu_count() or 1) >= 8 and importlib.util.find_spec("xdist"):
            words += ["-n", "6"]
        environment = {**os.environ, OUTCOMES_VAR: str(report)}
        # a session of its own, so that a stop also ends the workers and what the tests started
        tests = subprocess.Popen(
            [sys.executable, *words], cwd=HOME, stdout=sys.stderr, env=environment, start_new_session=True
        )
        try:
            code: int | str = tests.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(tests.pid, signal.SIGKILL)
            code = "stopped, since the time was over"
        lines = report.read_text().splitlines() if report.exists() else []
        outcomes: list[dict[str, Any]] = [json.loads(line) for line in lines]
        if code not in (0, 1) or not outcomes:
            outcomes.append({"name": "pytest", "outcome": "error", "seconds": 0.0, "message": f"it ended with {code}"})
        return outcomes


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
    parser.add_argument("--only", choices=("tests", "speeds"), help="one part alone")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.stderr.write(
            "make gpu: PyTorch finds no CUDA device here, so nothing can be tested; use a machine with one\n"
        )
        return 1
    began = time.monotonic()
    tests = run_tests(TEST_SHARE * options.seconds) if options.only != "speeds" else []
    speeds = measure_speeds(began + options.seconds) if options.only != "tests" else []
    content = {"machine": describe_machine(), "tests": tests, "speeds": speeds}
    write_stdout(write_report(options.out, content) + "\n")
    return int(any(each["outcome"] not in ("passed", "skipped") for each in tests))


if __name__ == "__main__":
    sys.exit(main())
