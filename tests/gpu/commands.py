"""Commands of bench in this process, with what they print and the records that they write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from litevit_bench.cli import main


def run_bench(*words: str) -> None:
    """Run a command of bench that must succeed."""
    code = main(list(words))
    assert code == 0, f"bench {' '.join(words)} ended with {code}"


def read_records(out: Path) -> list[dict[str, Any]]:
    """The records below a folder, oldest first."""
    records = [json.loads(path.read_text()) for path in out.rglob("record.json")]
    return sorted(records, key=lambda each: str(each["environment"]["started"]))


def read_record(out: Path) -> dict[str, Any]:
    """The only record below a folder, which must be complete and of a CUDA device."""
    (record,) = read_records(out)
    assert record["status"] == "complete"
    assert record["environment"]["device"].startswith("cuda (")
    return record


def get_score(record: dict[str, Any]) -> float:
    """The number that boards show."""
    result = record["result"]
    return float(result["metrics"][result["primary_metric"]]["value"])
