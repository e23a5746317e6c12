"""Large files say how far their reading is; other files are read in silence."""

from itertools import count
from pathlib import Path

import pytest

from foundation.files import sha256_chunks, sha256_file
from foundation.storage.reading_progress import report_reading


def test_slow_reading_is_reported_with_the_remaining_time(capsys: pytest.CaptureFixture[str]) -> None:
    chunks, seconds = [bytes(10**6)] * 40, count()
    found = report_reading(Path("w\x1b[2J.pth"), 40 * 10**6, iter(chunks), lambda: float(next(seconds)))
    assert sha256_chunks(found) == sha256_chunks(chunks)
    # a chunk a second: the first line after 5 s, then one each 15 s
    assert capsys.readouterr().err.splitlines() == [
        "reading w\\u001b[2J.pth: 0.0 of 0.0 GB, 35 s left",
        "reading w\\u001b[2J.pth: 0.0 of 0.0 GB, 20 s left",
        "reading w\\u001b[2J.pth: 0.0 of 0.0 GB, 5 s left",
    ]


def test_fast_reading_is_silent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_bytes(bytes(10**7))
    assert sha256_file(tmp_path / "a") == sha256_chunks([bytes(10**7)])
    assert capsys.readouterr().err == ""
