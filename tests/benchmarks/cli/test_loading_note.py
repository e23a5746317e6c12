"""A command that loads PyTorch says so first, and one that does not says nothing."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest

from benchmarks.cli.loading_note import LOADING_NOTE, announce_loading


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not imported torch; ``find_spec`` then asks the finders, and imports nothing."""
    monkeypatch.delitem(sys.modules, "torch")


@pytest.mark.usefixtures("without_torch")
def test_the_first_search_for_torch_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    finders = list(sys.meta_path)
    with announce_loading():
        assert find_spec("torchvision") is not None
        assert capsys.readouterr().err == "", "another module, with a name that begins so"
        assert find_spec("torch") is not None, "Python's own finders find it"
        assert capsys.readouterr().err == f"{LOADING_NOTE}\n"
        find_spec("torch")
    assert capsys.readouterr().err == ""
    assert sys.meta_path == finders


@pytest.mark.usefixtures("without_torch")
def test_nothing_is_left_behind_and_one_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    finders = list(sys.meta_path)
    with pytest.raises(ValueError, match="of the verb"), announce_loading():
        raise ValueError("of the verb")
    assert sys.meta_path == finders
    monkeypatch.setenv("RANK", "1")
    with announce_loading():
        find_spec("torch")
    assert capsys.readouterr().err == ""
