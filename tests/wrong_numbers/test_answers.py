"""An answer from a record needs no torch: the digest of the model is kept in the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from tests.conftest import ROOT

ANSWER = """
import json, sys
from benchmarks.cli.main import main
code = main(sys.argv[1:])
print(json.dumps({"code": code, "torch": "torch" in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize(("task", "protocol"), [("digits", "knn"), ("mini_ade", "linear")])
def test_an_answer_from_the_record_needs_no_torch(
    task: str, protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "runs"
    first = run_cell(CellRequest(task, "vit_nano", protocol, tier="smoke", out=out, device="cpu"))
    words = [
        "run",
        task,
        "--backbone",
        "vit_nano",
        "--protocol",
        protocol,
        "--tier",
        "smoke",
        "--out",
        str(out),
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, *words], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stderr.splitlines()[-1]) == {"code": 0, "torch": False}
    (cell,) = json.loads(done.stdout)
    assert cell["record"]["run_id"] == first.record.run_id
