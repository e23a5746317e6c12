"""Several processes score every item once, and what they write is what one process writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.engine.processes import scoring
from tests.engine.processes.conftest import Findings
from tests.engine.processes.start import collect_findings
from tests.tracking.lasot_root import write_short_sequences


def test_no_item_is_scored_twice_or_missed(both: Findings, tmp_path: Path) -> None:
    """One image, seven images and five sequences, by two processes and by three; the rows are with the first."""
    two = both.folder
    one, three = (write_short_sequences(tmp_path / name / "lasot", 5).parent for name in ("one", "three"))
    alone = scoring.find_all(one)
    shared = {two: [each["scores"] for each in both.found], three: collect_findings(scoring.__name__, three, 3)}
    for folder, found in shared.items():
        for items, rows in alone["images"].items():
            rows_shared = found[0]["images"][items]
            assert [row[0] for row in rows_shared] == list(range(items))
            for row, other in zip(rows, rows_shared, strict=True):
                assert row[:3] == other[:3] and row[3] == pytest.approx(other[3], rel=1e-5)
        assert not any(other["images"][scoring.NUM_ITEMS] for other in found[1:])
        assert found[0]["segmentations"] == alone["segmentations"], "pixel counts are whole numbers"
        names = [name for each in found for name in each["tracked"]]
        assert sorted(names) == sorted(alone["tracked"]) and len(set(names)) == 5
        assert found[0]["frozen"] == alone["frozen"], "rows and features are the same to the last bit"
        assert len(alone["frozen"]["rows"]) == 359 and len(alone["frozen"]["files"]) == 4
        assert not any(other["frozen"]["rows"] for other in found[1:])
        assert found[0]["broken"] == alone["broken"] == {"error": "test image 150 is broken"}
        assert read_boxes(folder) == read_boxes(one) and len(read_boxes(one)) >= 5


def read_boxes(folder: Path) -> dict[str, bytes]:
    files = (folder / "tracked").glob("*.txt")
    return {path.name: path.read_bytes() for path in files if "_times" not in path.name}
