"""Measure what is pinned, by room, entry and section, and check it against the file."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from mmengine.config import Config

from tests.wrong_numbers.pinning.comparison import describe_version_drift, explain_move, find_moved, get_tolerance
from tests.wrong_numbers.pinning.pinned_file import ALL_PROTOCOLS, PinnedFile, read_pinned_file
from tests.wrong_numbers.pinning.recipes import list_config_files


@cache  # a config file takes a while to read, and every test asks
def list_versions(room: str) -> dict[str, int]:
    """Return the version of every protocol of a room, by the name of its config file."""
    return {name: int(Config.fromfile(path).version) for name, path in list_config_files(room).items()}


def list_pins(room: str) -> list[tuple[str, str]]:
    """Return every entry and section that is measured of a room: its protocols, and what all of them share."""
    module = _import_room(room)
    own = [(name, section) for name in list_config_files(room) for section in module.list_sections(name)]
    return [*own, *((ALL_PROTOCOLS, section) for section in module.SHARED_SECTIONS)]


def measure_pin(room: str, entry: str, section: str) -> Any:
    """Return what a section of an entry is now, as plain data."""
    module = _import_room(room)
    with limit_to_one_thread():
        if entry == ALL_PROTOCOLS:
            found = module.SHARED_SECTIONS[section]()
        else:
            found = module.list_sections(entry)[section](entry)
    return json.loads(json.dumps(found))  # tuples become lists, as in the file


def _import_room(room: str) -> Any:
    # late, so that the tests of one room do not load what another one needs
    return importlib.import_module(f"tests.wrong_numbers.pinning.{room}")


@contextmanager
def limit_to_one_thread() -> Iterator[None]:
    """Compute with one thread: the order in which numbers are added depends on how many there are."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_pin(room: str, entry: str, section: str) -> None:
    """Require that a section of an entry is what the room's file says; skipped where library versions differ.

    Raises:
        AssertionError: it is not pinned, or it moved; the message says what to do.
    """
    if get_tolerance(section).needs_lock and (drift := describe_version_drift()):
        pytest.skip(drift)
    problem = describe_problem(read_pinned_file(room), list_versions(room), entry, section)
    assert problem is None, problem


def describe_problem(file: PinnedFile, versions: dict[str, int], entry: str, section: str) -> str | None:
    """Measure a section and return what is wrong with its pin, as a sentence; ``None`` if nothing is.

    Args:
        file: the pinned numbers of the room.
        versions: the versions of its protocols.
        entry: a protocol, or what all share.
        section: what to measure.
    """
    pinned = file.entries.get(entry)
    current = versions if entry == ALL_PROTOCOLS else {entry: versions[entry]}
    # an entry of other versions says nothing about this one, so it is as good as missing
    if pinned is None or section not in pinned.pins or pinned.versions != current:
        whose = entry if entry == ALL_PROTOCOLS else f"{entry}@{versions[entry]}"
        return (
            f"{section} of {file.room} {whose} is not pinned; run `python -m tests.wrong_numbers.pin {file.room}` and "
            "commit the file"
        )
    moved = find_moved(section, pinned.pins[section], measure_pin(file.room, entry, section))
    return explain_move(file.room, entry, current, moved) if moved else None
