"""Digests of many files: what they cover, when a kept one is used again, and what happens without a store."""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from pathlib import Path

import pytest

from engine.data import file_hashes
from engine.data.file_hashes import FULL_COVERAGE, HashStore, hash_files, require_unchanged_files
from foundation.errors import DataError
from foundation.run_scope import open_run_scope

LONG_AGO = time.time_ns() - 10**12


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two files that count as settled: times of change cannot be set back, so the margin is taken out instead."""
    monkeypatch.setattr(file_hashes, "SETTLED_SECONDS", -1.0)
    home = tmp_path / "data"
    home.mkdir()
    (home / "a").write_bytes(b"first")
    (home / "b").write_bytes(b"other")
    return home


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read."""
    seen: list[str] = []
    read_digest = file_hashes._read_digest
    monkeypatch.setattr(
        file_hashes,
        "_read_digest",
        lambda function, path: (seen.append(Path(path).name), read_digest(function, path))[1],
    )
    return seen


def test_digests_are_those_of_hashlib_and_zlib(folder: Path) -> None:
    expected = [hashlib.sha256(b"first").hexdigest(), hashlib.sha256(b"other").hexdigest()]
    assert hash_files(folder, ["a", "b"]) == (expected, FULL_COVERAGE)
    assert hash_files(folder, ["b"], "crc32").digests == [f"crc32:{zlib.crc32(b'other'):08x}:5"]


def test_an_unchanged_file_is_read_once(folder: Path, reads: list[str]) -> None:
    first = hash_files(folder, ["a", "b"])
    assert hash_files(folder, ["a", "b"]) == first
    assert sorted(reads) == ["a", "b"]


def test_a_file_whose_content_was_changed_is_read_again_even_with_its_old_time(folder: Path, reads: list[str]) -> None:
    os.utime(folder / "a", ns=(LONG_AGO, LONG_AGO))
    before = hash_files(folder, ["a"])
    (folder / "a").write_bytes(b"FIRST")  # of the same size
    os.utime(folder / "a", ns=(LONG_AGO, LONG_AGO))
    assert hash_files(folder, ["a"]).digests == [hashlib.sha256(b"FIRST").hexdigest()] != before.digests
    assert reads == ["a", "a"]


def test_a_file_that_was_replaced_by_another_of_the_same_times_is_read_again(folder: Path) -> None:
    for name in ("a", "b"):
        os.utime(folder / name, ns=(LONG_AGO, LONG_AGO))
    before = hash_files(folder, ["a", "b"]).digests
    (folder / "a").rename(folder / "c")
    (folder / "b").rename(folder / "a")
    (folder / "c").rename(folder / "b")
    assert hash_files(folder, ["a", "b"]).digests == before[::-1]


def test_a_file_written_just_now_is_not_kept(tmp_path: Path, reads: list[str]) -> None:
    (tmp_path / "new").write_bytes(b"1")
    hash_files(tmp_path, ["new"])
    hash_files(tmp_path, ["new"])
    assert reads == ["new", "new"], "a change within the clock's step would not show in its times"


def test_a_run_that_trusts_no_cache_reads_every_file(folder: Path, reads: list[str]) -> None:
    hash_files(folder, ["a"])
    with open_run_scope(trusts_caches=False):
        hash_files(folder, ["a"])
    assert reads == ["a", "a"]


def test_a_damaged_store_begins_anew(folder: Path, cache: Path, reads: list[str]) -> None:
    first = hash_files(folder, ["a"])
    (cache / "file_hashes.sqlite").write_bytes(b"not a database" * 100)
    assert hash_files(folder, ["a"]) == first
    assert hash_files(folder, ["a"]) == first
    assert reads == ["a", "a"], "the third look was answered by the new store"


def test_a_store_that_cannot_be_written_is_no_error(folder: Path, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert hash_files(folder, ["a"]).coverage == FULL_COVERAGE
    assert not HashStore("sha256").load(str(folder))


def test_names_that_are_not_utf8_are_kept_too(folder: Path, reads: list[str]) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (folder / name).write_bytes(b"x")
    hash_files(folder, [name])
    hash_files(folder, [name])
    assert len(reads) == 1


def test_a_neighbour_whose_name_begins_alike_is_another_folder(folder: Path, reads: list[str]) -> None:
    other = folder.with_name("data2")
    other.mkdir()
    (other / "a").write_bytes(b"third")
    assert hash_files(folder, ["a"]).digests != hash_files(other, ["a"]).digests


def test_above_the_limit_a_fixed_sample_stands_for_the_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number}" for number in range(20)]
    for name in names:
        (folder / name).write_bytes(name.encode())
    monkeypatch.setattr(file_hashes, "FULL_HASH_LIMIT", 10)
    monkeypatch.setattr(file_hashes, "SAMPLE_SIZE", 5)
    sampled = hash_files(folder, names)
    assert not sampled.is_complete and "the bytes of 5 of 20" in sampled.coverage
    assert sum(digest.startswith("size:") for digest in sampled.digests) == 15
    # the same files in any order: the sample is chosen by name
    assert hash_files(folder, names[::-1]).digests == sampled.digests[::-1]
    with open_run_scope(hashes_all=True):
        assert hash_files(folder, names).is_complete


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"/none is missing; unpack the data set again"):
        hash_files(folder, ["a", "none"])


def test_data_that_change_during_a_run_are_noticed(folder: Path) -> None:
    with open_run_scope():
        hash_files(folder, ["a", "b"])
        require_unchanged_files()
        (folder / "b").write_bytes(b"OTHER")
        with pytest.raises(DataError, match=r"were changed while the run was reading them \(last: b\)"):
            require_unchanged_files()
    with open_run_scope():
        require_unchanged_files()
