"""What a user says of the layout of his data."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.task_registry import TASKS
from engine.data.data_options import (
    NO_OPTIONS,
    find_option_file,
    get_data_options,
    make_data_options,
    require_task_options,
)
from foundation.errors import ConfigError, DataError, UserError
from foundation.run_scope import open_run_scope


def test_options_travel_in_the_run_scope() -> None:
    options = make_data_options({"exclude": ["raw"], "ignore": [11]})
    with open_run_scope(data_options=options):
        assert get_data_options() == options
    assert get_data_options() == NO_OPTIONS


def test_record_form_reads_back_to_the_same_options() -> None:
    options = make_data_options({"exclude": ["raw/", "raw"], "map": ["255=1"], "layout": "splits"})
    assert make_data_options(options.as_dict()) == options
    assert NO_OPTIONS.as_dict() == {}


@pytest.mark.parametrize("given", [{"layout": "folders"}, {"ignore": ["a"]}, {"unknown": 1}, {"exclude": "raw"}])
def test_wrong_values_are_refused_with_their_names(given: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(given))):
        make_data_options(given)


def test_option_that_a_task_does_not_take_is_refused() -> None:
    with pytest.raises(UserError, match=r"task digits has no --nested-classes: its layout is fixed; leave it out"):
        require_task_options(TASKS.get("digits"), make_data_options({"nested_classes": "leaf"}))


def test_restricted_options_keep_what_a_task_takes() -> None:
    options = make_data_options({"exclude": ["raw"], "target": "3"})
    assert options.restrict_to(("exclude",)).as_dict() == {"exclude": ["raw"]}


def test_file_of_an_option_is_found_below_the_data_or_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, work = tmp_path / "data", tmp_path / "work"
    for folder in (data, work):
        folder.mkdir()
    monkeypatch.chdir(work)
    with pytest.raises(DataError, match=r"no file .*labels\.csv"):
        find_option_file(data, "labels.csv")
    (work / "labels.csv").write_text("a")
    assert find_option_file(data, "labels.csv").read_text() == "a"
    (data / "labels.csv").write_text("a")
    assert find_option_file(data, "labels.csv") == data / "labels.csv"
    (data / "labels.csv").write_text("b")
    with pytest.raises(UserError, match="differ; name the one that you mean"):
        find_option_file(data, "labels.csv")


@pytest.mark.parametrize("text", ["far/labels.csv", "/no/where/labels.csv"])
def test_option_file_that_is_missing_is_named_once(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"check the path, or put the file there$") as refusal:
        find_option_file(tmp_path, text)
    assert str(refusal.value).count("/no/where/labels.csv") == text.startswith("/")


def test_files_are_found_from_another_folder_once_they_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers of a sweep run in another folder than the command."""
    data, work = tmp_path / "data", tmp_path / "work"
    for folder in (data, work):
        folder.mkdir()
    (data / "inside.csv").write_text("a")
    (work / "outside.csv").write_text("b")
    monkeypatch.chdir(work)
    options = make_data_options({"labels": "outside.csv", "colours": "inside.csv"}).make_files_absolute(data)
    monkeypatch.chdir(tmp_path)
    assert options.labels is not None and find_option_file(data, options.labels).read_text() == "b"
    assert options.colours == "inside.csv"
