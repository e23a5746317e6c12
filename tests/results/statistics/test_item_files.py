"""Per-item files that lie compressed beside their record: the same content, or a sentence."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from benchmarks.transfer.pack_results import pack_results
from foundation.errors import RecordError
from results.records.verification import verify_record
from results.statistics import item_files
from results.statistics.item_files import list_item_files, read_item_table
from results.statistics.per_item_outcomes import read_item_outcomes
from results.statistics.ranking import StoredRun
from tests.results.make import write_digits_run


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    folder, record = write_digits_run(tmp_path / "made", "vit_nano", [True] * 30)
    place = tmp_path / "runs" / "digits" / f"vit_nano-finetune-full-seed0-{record.run_id}"
    place.parent.mkdir(parents=True)
    return folder.rename(place), record


def pack_table(folder: Path) -> Path:
    """The table of a run, compressed in place."""
    plain = folder / "items.csv"
    packed = folder / "items.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    plain.unlink()
    return packed


def test_a_compressed_table_is_the_table(run: StoredRun) -> None:
    folder, record = run
    plain = read_item_table(folder, record).columns
    before = [(check.subject, check.state) for check in verify_record(folder, record)]
    packed = pack_table(folder)
    assert read_item_table(folder, record).columns == plain
    assert read_item_outcomes(folder, record, "top1").item_ids == plain["item"]
    assert next(iter(list_item_files(folder, record))) == packed
    named = [(check.subject.removesuffix(".gz"), check.state) for check in verify_record(folder, record)]
    assert named == before


def test_the_plain_file_counts_where_both_are_there(run: StoredRun) -> None:
    folder, record = run
    (folder / "items.csv.gz").write_bytes(b"anything")
    assert read_item_table(folder, record).path == folder / "items.csv"


def test_a_compressed_file_with_other_content_is_refused(run: StoredRun) -> None:
    folder, record = run
    packed = pack_table(folder)
    content = gzip.decompress(packed.read_bytes())
    packed.write_bytes(gzip.compress(content.replace(b"\n1,", b"\n7,", 1)))
    with pytest.raises(RecordError, match=r"items\.csv\.gz is not the file that its record was made with"):
        read_item_table(folder, record)


@pytest.mark.parametrize("change", ["cut off", "two members", "no gzip"])
def test_a_damaged_compressed_file_is_refused(run: StoredRun, change: str) -> None:
    folder, record = run
    packed = pack_table(folder)
    content = packed.read_bytes()
    made = {"cut off": content[:-9], "two members": content * 2, "no gzip": gzip.decompress(content)}
    packed.write_bytes(made[change])
    with pytest.raises(RecordError, match=r"cannot read the per-item file .*items\.csv\.gz"):
        read_item_table(folder, record)


def test_a_few_bytes_that_stand_for_many_are_refused(run: StoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, record = run
    packed = pack_table(folder)
    packed.write_bytes(gzip.compress(bytes(1_000_000)))
    monkeypatch.setattr(item_files, "MAX_ITEM_BYTES", 100_000)
    with pytest.raises(RecordError, match="unpacks to more than 100,000 bytes"):
        read_item_table(folder, record)


def test_a_store_is_packed_with_its_compressed_tables(run: StoredRun, tmp_path: Path) -> None:
    pack_table(run[0])
    report = pack_results(tmp_path / "runs", tmp_path / "out.tar.gz")
    assert report.num_records == 1
    assert report.num_files >= 2
