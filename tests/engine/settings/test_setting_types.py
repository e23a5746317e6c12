"""Every number of every recipe has a smallest and a largest value, and every list a largest length."""

import importlib
import types
import typing
from collections.abc import Iterator
from typing import Any

import annotated_types
import pytest
from pydantic import TypeAdapter, ValidationError

from engine.recipe import StrictConfig
from engine.settings.setting_types import ForeignConfig, PathText

for _room in ("classification", "segmentation", "tracking"):
    importlib.import_module(f"{_room}.recipe")
    importlib.import_module(f"{_room}.as_is.settings")
for _module in ("pretraining.recipe", "engine.data.data_options"):
    importlib.import_module(_module)

LATER = ("deployment", "detection.deployment", "tracking.deployment", "tests")
"""Rooms of manifests, which are files and no settings, and of tests' own settings."""


def list_kinds(kind: type[StrictConfig]) -> Iterator[type[StrictConfig]]:
    for child in kind.__subclasses__():
        if not child.__module__.startswith(LATER):
            yield child
        yield from list_kinds(child)


def find_open_ends(annotation: Any, metadata: list[Any], place: str) -> Iterator[str]:
    """Yields where a number has no bound, or a list no largest length."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        yield from find_open_ends(inner, [*metadata, *more], place)
        return
    if origin in (typing.Union, types.UnionType):
        for each in typing.get_args(annotation):
            yield from find_open_ends(each, metadata, place)
        return
    rules = [rule for each in metadata for rule in getattr(each, "metadata", [each])]
    if origin in (list, tuple):
        # options of the data are as many words as the command line has
        if origin is list and not any(isinstance(rule, annotated_types.MaxLen) for rule in rules):
            yield f"{place}: no largest length"
        for each in typing.get_args(annotation):
            yield from find_open_ends(each, [], f"{place}[]")
    elif annotation in (int, float):
        if not any(isinstance(rule, annotated_types.Ge | annotated_types.Gt) for rule in rules):
            yield f"{place}: no smallest value"
        if not any(isinstance(rule, annotated_types.Le | annotated_types.Lt) for rule in rules):
            yield f"{place}: no largest value"


def test_no_setting_has_an_open_end() -> None:
    kinds = set(list_kinds(StrictConfig))
    assert len(kinds) > 20
    found = [
        fault
        for kind in kinds
        for name, field in kind.model_fields.items()
        for fault in find_open_ends(field.annotation, field.metadata, f"{kind.__name__}.{name}")
    ]
    assert not found, found


def test_the_search_finds_open_ends() -> None:
    faults = [*find_open_ends(int, [], "a"), *find_open_ends(list[float] | None, [], "b")]
    assert len(faults) == 5, faults


@pytest.mark.parametrize("text", ["", "x" * 256, "a/" * 2048, "a\0b", "\u00e9" * 128])
def test_impossible_paths(text: str) -> None:
    with pytest.raises(ValidationError, match="no path"):
        TypeAdapter(PathText).validate_python(text)


def test_possible_paths() -> None:
    for text in ("a", "x" * 255, "/" + "a/" * 2000, "photo 1.csv", "\udcff.txt"):
        assert TypeAdapter(PathText).validate_python(text) == text


@pytest.mark.parametrize("value", [10**7, -1e300, {"a": [1, {"b": 2**70}]}])
def test_absurd_numbers_of_another_library(value: Any) -> None:
    with pytest.raises(ValidationError, match="not between"):
        TypeAdapter(ForeignConfig).validate_python({"head": value})
