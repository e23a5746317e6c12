"""Hostile stores as data: sound runs beside records and files that anybody could have put there."""

from __future__ import annotations

import copy
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.results.make import write_digits_run

NAMES = ("sound_a", "sound_b")
"""The backbones of the sound runs, two seeds each, all on one board."""

HOSTILE_NAME = "x\x1b[2J\u202e\u2028</script><script>alert(1)</script>{{7*7}}\"'\n=1+1"


class BadRecord(NamedTuple):
    """A record that must be refused.

    Attributes:
        name: what is wrong with it, in a few words.
        says: part of the sentence that names it.
        path, value: the field that is replaced, and by what; an empty path for the whole record.
        make: makes ``record.json`` in the folder instead.
    """

    name: str
    says: str
    path: tuple[str | int, ...] = ()
    value: Any = None
    make: Callable[[Path], object] | None = None


def nest(levels: int) -> dict[str, Any]:
    """A group of settings with so many levels."""
    content: dict[str, Any] = {}
    for _ in range(levels - 1):
        content = {"a": content}
    return content


def replace_value(content: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of nested data with another value at a path."""
    if not path:
        return value
    made = copy.deepcopy(content)
    place = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return made


def write_bytes(content: bytes) -> Callable[[Path], object]:
    """Make a file with this content."""
    return lambda path: path.write_bytes(content)


def make_sparse(path: Path) -> None:
    """A file of 10 GB that takes no disk."""
    with path.open("wb") as file:
        file.truncate(10**10)


def make_socket(path: Path) -> None:
    """A socket with this name."""
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket may have about 100 characters
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def link_to(target: str) -> Callable[[Path], object]:
    """Make a link."""
    return lambda path: path.symlink_to(target)


NO_FILES: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": link_to("/dev/zero"),
    "socket": make_socket,
    "folder": os.mkdir,
    "sparse": make_sparse,
    "circle": lambda path: path.symlink_to(path.name),
}
"""What is no file that anybody should read, by name."""

_METRIC = ("result", "metrics", "top1")
_LATENCY = ("cost", "efficiency", "latency")

BAD_RECORDS = [
    BadRecord("deep settings", "it is nested too deeply, in more than 100 levels", ("config", "x"), nest(101)),
    BadRecord("deeper settings", "nested too deeply", ("config", "x"), nest(400)),
    BadRecord("deep details", "nested too deeply", ("result", "details"), nest(101)),
    BadRecord("deep card", "nested too deeply", ("backbone", "card", "x"), nest(150)),
    BadRecord("deep where no group is", "nested too deeply", ("task",), nest(250)),
    BadRecord("deep text", "nested too deeply", make=write_bytes(b'{"config":' * 20_000)),
    BadRecord("deep lists", "nested too deeply", make=write_bytes(b"[" * 100_000)),
    BadRecord("items outside", "items.file: must be the name of a file", ("result", "items", "file"), "../items.csv"),
    BadRecord("items elsewhere", "items.file: must be the name", ("result", "items", "file"), "/etc/passwd"),
    BadRecord("items in a folder", "items.file: must be the name", ("result", "items", "file"), "a/b"),
    BadRecord("items of Windows", "items.file: must be the name", ("result", "items", "file"), "..\\b"),
    BadRecord("items with NUL", "items.file: must be the name", ("result", "items", "file"), "a\0b"),
    BadRecord("items with a line break", "items.file: must be the name", ("result", "items", "file"), "a\nb"),
    BadRecord("items without a name", "items.file: must be the name", ("result", "items", "file"), ""),
    BadRecord("items above", "items.file: must be the name", ("result", "items", "file"), ".."),
    BadRecord("items with a long name", "items.file: must be the name", ("result", "items", "file"), "x" * 300),
    BadRecord("negative rows", "items.rows: Input should be greater", ("result", "items", "rows"), -1),
    BadRecord("no time", "raw_ms.0: Input should be greater than or equal to 0.000001", (*_LATENCY, "raw_ms"), [0.0]),
    BadRecord("negative time", "raw_ms.0: Input should be greater", (*_LATENCY, "raw_ms", 0), -1.0),
    BadRecord("no times", "raw_ms: List should have at least 1 item", (*_LATENCY, "raw_ms"), []),
    BadRecord("huge time", "raw_ms.0: must be a number between", (*_LATENCY, "raw_ms", 0), 1e300),
    BadRecord("no batch", "batch: Input should be greater than or equal to 1", (*_LATENCY, "batch"), 0),
    BadRecord("empty image", "img_size.0: Input should be greater", ("cost", "efficiency", "img_size"), [0, 0]),
    BadRecord("many threads", "threads: Input should be less", ("cost", "efficiency", "threads"), 10**9),
    BadRecord("negative count", "top1.n: Input should be greater than or equal to 0", (*_METRIC, "n"), -5),
    BadRecord("huge value", "top1.value: must be a number between", (*_METRIC, "value"), 1e300),
    BadRecord("long integer", "'value' in it is an integer of more than 64 bits", (*_METRIC, "value"), 10**400),
    BadRecord(
        "infinite value",
        "'value' in it is not a finite number",
        make=lambda path: _write_text(path, _METRIC, "value", "1e400"),
    ),
    BadRecord(
        "value that is none", "NaN is not a number", make=lambda path: _write_text(path, _METRIC, "value", "NaN")
    ),
    BadRecord(
        "infinite setting",
        "'x' in it is not a finite number",
        make=lambda path: _write_text(path, ("config",), "x", "-1e999"),
    ),
    BadRecord("long setting", "'y' in it is an integer of more than 64 bits", ("config", "x"), [{"y": 10**30}]),
    BadRecord("settings that are no group", "config: recipe must be a group of settings", ("config", "recipe"), True),
    BadRecord("long seed", "seed: Input should be less", ("seed",), 2**63),
    BadRecord("longer seed", "'seed' in it is an integer of more than 64 bits", ("seed",), 2**70),
    BadRecord("negative total", "expected: Input should be greater", ("expected",), -1),
    BadRecord("long name", "backbone.name: must have at most 4,096 characters", ("backbone", "name"), "x" * 10_000),
    BadRecord("long task", "task: must have at most 4,096 characters, not 1,000,000", ("task",), "x" * 1_000_000),
    BadRecord("half a letter", "is not a", ("task",), "\ud800"),
    BadRecord("list of nothing", "is not a", (), [[]]),
    BadRecord("text of another encoding", "utf-8", make=write_bytes('{"ä": 1}'.encode("utf-16"))),
    BadRecord("empty file", "is not a record", make=write_bytes(b"")),
    BadRecord("half a record", "is not a record", make=write_bytes(b'{"schema_version": 8, "run_id": "')),
    BadRecord("only NUL", "is not a record", make=write_bytes(b"\0" * 10_000)),
    BadRecord("long number", "is not a record", make=write_bytes(b'{"schema_version": ' + b"9" * 10_000 + b"}")),
    *(BadRecord(f"a {kind}", "cannot read", make=make) for kind, make in NO_FILES.items()),
]
"""Records that are refused, each with a part of the sentence."""


def _write_text(path: Path, group: tuple[str, ...], name: str, text: str) -> None:
    """Write the record of a sound run with a value that Python's JSON does not write."""
    content = json.loads((path.parent / "sound.json").read_text())
    mark = "8f2c1d"
    place = content
    for key in group:
        place = place[key]
    place[name] = mark
    path.write_text(json.dumps(content).replace(f'"{mark}"', text))


def write_sound_runs(store: Path) -> dict[str, Any]:
    """Write two seeds of two backbones, where a store has them, and return the record of one of them."""
    for place, name in enumerate(NAMES):
        for seed in (0, 1):
            outcomes = [item % 9 != seed and (place == 0 or item % 2 == 0) for item in range(60)]
            scratch = store / "digits" / "scratch"
            changes: dict[str, Any] = {"schema_version": 8, "cost": _make_cost()}
            _, record = write_digits_run(scratch, name, outcomes, seed, **changes)
            folder = store / "digits" / f"{name}-finetune-full-seed{seed}-{record.run_id}"
            scratch.rename(folder)
    content: dict[str, Any] = json.loads((folder / "record.json").read_text())
    return content


def _make_cost() -> dict[str, Any]:
    from tests.results.make import make_cost

    return make_cost(1000, 2.0)


def write_bad_record(store: Path, sound: dict[str, Any], number: int, bad: BadRecord) -> Path:
    """Write one of ``BAD_RECORDS`` beside the sound runs and return its folder."""
    folder = store / "digits" / f"bad-finetune-full-seed0-{number:016x}"
    folder.mkdir(parents=True)
    (folder / "sound.json").write_text(json.dumps(sound))
    if bad.make is not None:
        bad.make(folder / "record.json")
    else:
        (folder / "record.json").write_text(json.dumps(replace_value(sound, bad.path, bad.value)))
    return folder


def list_leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all values of nested data, groups included."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(leaf for key, each in pairs for leaf in list_leaves(each, (*path, key)))]
