"""Every file of a user's folder is used, known litter, left out, or refused."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from engine.data.data_options import make_data_options
from engine.data.tree_files import list_tree, require_all_used
from foundation.errors import ConfigError, DataError
from foundation.run_scope import open_run_scope


def _write(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def test_litter_is_set_apart(tmp_path: Path) -> None:
    litter = ("Thumbs.db", "cat/.DS_Store", "cat/._0.png", "__MACOSX/cat/0.png", "cat/.ipynb_checkpoints/0.png")
    litter = (*litter, "runs/check/imagefolder.png")  # the sheet of an earlier check in this folder
    documents = ("README.roboflow.txt", "LICENSE", "notes/paper.pdf")
    _write(tmp_path, *litter, *documents, "cat/0.png", "cat/license.png", ".hidden.png")
    tree = list_tree(tmp_path)
    assert tree.files == (".hidden.png", "cat/0.png", "cat/license.png")
    assert set(tree.litter) == {*litter, *documents}


def test_exclude_names_files_folders_and_patterns(tmp_path: Path) -> None:
    _write(tmp_path, "a/0.png", "a/0.heic", "a/deep/1.heic", "raw/b/0.png", "b/0.png")
    with open_run_scope(data_options=make_data_options({"exclude": ["raw/", "a/*.heic", "a/deep/1.heic"]})):
        tree = list_tree(tmp_path)
    assert tree.files == ("a/0.png", "b/0.png")
    assert tree.excluded == ("a/0.heic", "a/deep/1.heic", "raw/b/0.png")


def test_exclude_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "a/0.png")
    with (
        open_run_scope(data_options=make_data_options({"exclude": ["rwa"]})),
        pytest.raises(DataError, match=r"--exclude rwa matches no file"),
    ):
        list_tree(tmp_path)


def test_exclude_that_begins_with_the_data_folder_is_told_how(tmp_path: Path) -> None:
    """A shell completes paths from the working folder."""
    _write(tmp_path / "photos", "raw/0.png")
    with (
        open_run_scope(data_options=make_data_options({"exclude": ["photos/raw"]})),
        pytest.raises(DataError, match=r"below .*photos, in which paths begin; write --exclude raw$"),
    ):
        list_tree(tmp_path / "photos")


def test_exclude_finds_accents_in_either_form(tmp_path: Path) -> None:
    _write(tmp_path, "cafe\u0301/0.png", "b/0.png")
    with open_run_scope(data_options=make_data_options({"exclude": ["caf\u00e9"]})):
        assert list_tree(tmp_path).files == ("b/0.png",)


@pytest.mark.parametrize("path", ["/tmp/x", "../x", "a/../../x", ""])
def test_exclude_stays_below_the_folder(path: str) -> None:
    with pytest.raises(ConfigError, match="not a path below the data folder"):
        make_data_options({"exclude": [path]})


@pytest.mark.parametrize(
    ("names", "used", "pattern"),
    [
        (("a/0.heic", "a/1.heic", "a/0.png"), ("a/0.png",), "--exclude 'a/*.heic'"),
        (("a/0.heic", "b/1.heic", "a/0.png"), ("a/0.png",), "--exclude '*/*.heic'"),
        (("raw/a/0.png", "raw/b/0.png", "a/0.png"), ("a/0.png",), "--exclude raw"),
        # a pattern would leave out what is used too
        (("a/0.png", "a/1.png", "a/2.png"), ("a/0.png",), "--exclude a/1.png a/2.png"),
        # in each split, so that the refusal is not the first of several
        (("a/x/.c/0.png", "b/x/.c/0.png", "b/y/.c/0.png", "a/x/0.png"), ("a/x/0.png",), "--exclude '*/*/.c'"),
        (("a b.txt", "a/0.png"), ("a/0.png",), "--exclude 'a b.txt'"),
        (("photo [1].png", "a/0.png"), ("a/0.png",), "--exclude 'photo [1].png'"),
        (("-.txt", "a/0.png"), ("a/0.png",), "--exclude ./-.txt"),
    ],
)
def test_refusal_names_files_and_one_pattern(
    tmp_path: Path, names: tuple[str, ...], used: tuple[str, ...], pattern: str
) -> None:
    _write(tmp_path, *names)
    with pytest.raises(DataError) as refusal:
        require_all_used(list_tree(tmp_path), used)
    assert str(refusal.value).endswith(pattern)
    # the cure holds as it is pasted
    patterns = shlex.split(pattern.removeprefix("--exclude "))
    with open_run_scope(data_options=make_data_options({"exclude": patterns})):
        require_all_used(list_tree(tmp_path), used)


def test_loop_of_links_ends_and_links_are_followed(tmp_path: Path) -> None:
    _write(tmp_path / "far", "0.png")
    data = tmp_path / "data"
    data.mkdir()
    (data / "cat").symlink_to(tmp_path / "far")
    (data / "again").symlink_to(data)
    assert list_tree(data).files == ("cat/0.png",)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every folder")
def test_folder_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    _write(tmp_path, "cat/0.png")
    (tmp_path / "cat").chmod(0)
    try:
        with pytest.raises(DataError, match="cannot be read"):
            list_tree(tmp_path)
    finally:
        (tmp_path / "cat").chmod(0o755)


def test_runs_of_bench_beside_the_data_are_not_data(tmp_path: Path) -> None:
    """After ``bench run TASK --data-root .``, the same command finds the same data."""
    _write(tmp_path, "cat/0.png", "runs/ledger/a.jsonl", "runs/ledger/.lock", "runs/mine/one/pictures/0.png")
    tree = list_tree(tmp_path)
    assert tree.files == ("cat/0.png",) and "runs/mine/one/pictures/0.png" in tree.litter
    # a class of that name is data
    (tmp_path / "runs/ledger/a.jsonl").rename(tmp_path / "runs/ledger/a.png")
    assert "runs/ledger/a.png" in list_tree(tmp_path).files


def test_folder_that_is_linked_into_two_places_is_in_both(tmp_path: Path) -> None:
    """In one place alone, ``train/cat`` would be empty, or a second name of a class would be dropped in silence."""
    _write(tmp_path, "raw/cat/0.png")
    (tmp_path / "train").mkdir()
    (tmp_path / "train/cat").symlink_to(tmp_path / "raw/cat")
    assert list_tree(tmp_path).files == ("raw/cat/0.png", "train/cat/0.png")
    with open_run_scope(data_options=make_data_options({"exclude": ["raw"]})):
        assert list_tree(tmp_path).files == ("train/cat/0.png",)


def test_two_names_of_a_folder_side_by_side_are_one(tmp_path: Path) -> None:
    _write(tmp_path, "valid/0.png")
    (tmp_path / "val").symlink_to("valid")
    assert list_tree(tmp_path).files == ("val/0.png",)


def test_folders_that_are_linked_into_each_other_end(tmp_path: Path) -> None:
    _write(tmp_path, "a/0.png", "b/0.png")
    (tmp_path / "a/b").symlink_to(tmp_path / "b")
    (tmp_path / "b/a").symlink_to(tmp_path / "a")
    assert list_tree(tmp_path).files == ("a/0.png", "a/b/0.png", "b/0.png", "b/a/0.png")


def test_pipe_is_refused_and_not_read(tmp_path: Path) -> None:
    """Whoever opens a pipe waits until somebody writes into it."""
    _write(tmp_path, "cat/0.png")
    os.mkfifo(tmp_path / "cat/1.png")
    with pytest.raises(DataError, match=r"1\.png is neither a file nor a folder"):
        list_tree(tmp_path)


@pytest.mark.parametrize("made", ["sweeps/b21dd5a8b238271a/.lock", "analysis/cka-vit/analysis.json"])
def test_sweeps_and_analyses_beside_the_data_are_not_data(tmp_path: Path, made: str) -> None:
    """The cells of a sweep that is started in the folder of the data do not find its log."""
    _write(tmp_path, "cat/0.png", f"runs/{made}", f"runs/{Path(made).parent}/logs/0.log")
    assert list_tree(tmp_path).files == ("cat/0.png",)
    (tmp_path / "runs" / made).rename(tmp_path / "0.png")
    assert len(list_tree(tmp_path).files) == 3, "a class of that name is data"
