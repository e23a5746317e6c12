"""Which images are meant, and which models predict nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.evaluation.predict_images import list_images, predict_images
from engine.evaluation.checkpoint_run import find_checkpoint_run
from engine.evaluation.model_source import ModelSource
from foundation.errors import UserError
from results.records.store import write_record
from tests.results.make import make_record


def test_hidden_files_of_a_folder_are_no_images(tmp_path: Path) -> None:
    """A Mac writes ._NAME.jpg beside NAME.jpg on other disks, and a notebook keeps copies."""
    names = ("a.jpg", "b.PNG", "sub/c.jpeg", "._a.jpg", ".ipynb_checkpoints/a-checkpoint.jpg", "sub/notes.txt")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list_images([tmp_path]) == [tmp_path / name for name in names[:3]]
    assert list_images([tmp_path / "._a.jpg"]) == [tmp_path / "._a.jpg"], "a file that is named is meant"
    with pytest.raises(UserError, match="there are no images"):
        list_images([])


def test_an_image_that_cannot_be_opened_is_not_left_out(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.gif", "c.JFIF", "d.psd"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"d\.psd is an image in a format that bench does not open; convert it"):
        list_images([tmp_path])
    (tmp_path / "d.psd").unlink()
    assert [path.name for path in list_images([tmp_path])] == ["a.jpg", "b.gif", "c.JFIF"]


@pytest.mark.parametrize(("domain", "remedy"), [("tracking", "with bench track"), ("pretraining", "with bench run")])
def test_a_model_without_answers_for_images_says_what_it_is_for(domain: str, remedy: str, tmp_path: Path) -> None:
    write_record(tmp_path, make_record(domain=domain))
    with pytest.raises(UserError, match=f"a model of {domain} predicts nothing for single images; .*{remedy}"):
        predict_images(ModelSource(run=tmp_path), [tmp_path], tmp_path / "out")


def test_a_checkpoint_that_is_missing_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no checkpoint at"):
        find_checkpoint_run(tmp_path / "nope.pth")
    (tmp_path / "there.pth").touch()
    with pytest.raises(UserError, match="is not in the folder of a run"):
        find_checkpoint_run(tmp_path / "there.pth")


def test_an_image_that_is_named_twice_is_predicted_once(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"x")
    assert list_images([tmp_path / "b.png", tmp_path]) == [tmp_path / "b.png", tmp_path / "a.png"]


def test_a_pipe_is_refused_and_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png is neither a file nor a folder"):
        list_images([tmp_path])
