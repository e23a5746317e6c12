"""Bad input as data: a command line, the files it meets, and the sentence that it gives."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest

from benchmarks.cli.main import main

MAX_SENTENCE = 1500
"""Number of characters of a message; a longer one is no sentence any more. Paths of pytest have about 100."""


class BadInput(NamedTuple):
    """One command line that must be refused.

    Attributes:
        name: what is wrong, in a few words; unique in its module.
        words: the words after ``bench``. The command runs in an empty folder of its own, so paths are relative.
        says: regular expression that is found in the sentence.
        make: makes the files in that folder.
        code: the exit code: 2 for what the user can fix, 1 for a failure.
        notes: our own lines may come before the sentence, for example what was read as what.
        leaves: names below the folder that the command may leave or change, as regular expressions; a run that began
            keeps its record, for example. Half-written files (``.tmp``) are never allowed.
    """

    name: str
    words: list[str]
    says: str
    make: Callable[[Path], None] | None = None
    code: int = 2
    notes: bool = False
    leaves: tuple[str, ...] = ()


LONG = "x" * 250
"""A name as long as the longest that a folder can have, nearly."""


def make_odd_files(folder: Path) -> None:
    """What the tables of cases refer to: an empty folder, one without anything that bench reads, and a text file."""
    (folder / "empty").mkdir()
    (folder / "folder").mkdir()
    (folder / "folder" / "a.txt").write_text("x")
    (folder / "file.txt").write_text("hello\n")


def refuse(words: list[str], says: str, name: str = "", **others: Any) -> BadInput:
    """A case whose sentence contains a text, with the files of ``make_odd_files``."""
    return BadInput(name or " ".join(words), words, re.escape(says), make_odd_files, **others)


def read_cases(table: str, start: str = "") -> list[BadInput]:
    """Read cases from lines ``words => part of the sentence``.

    Args:
        table: one case per line; words are as in a shell, and ``LONG`` is a very long name.
        start: words before those of each line.
    """
    cases = []
    for line in map(str.strip, table.strip().splitlines()):
        words, arrow, says = line.partition("=> ")
        assert arrow, line
        full = [word.replace("LONG", LONG) for word in shlex.split(f"{start} {words}")]
        cases.append(refuse(full, says.replace("LONG", LONG), f"{start} {words}".strip()))
    return cases


@contextmanager
def forbid_network() -> Iterator[list[str]]:
    """Records and refuses every look-up and connection: no refusal needs a network."""
    asked: list[str] = []

    def refuse_network(*place: Any, **_: Any) -> Any:
        asked.append(str(place[-1:]))
        raise OSError("the network is not for tests")

    with (
        mock.patch.object(socket, "getaddrinfo", refuse_network),
        mock.patch.object(socket.socket, "connect", refuse_network),
    ):
        yield asked


def check_bad_input(case: BadInput, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Run a command line in this process, and check that it is refused in one sentence and leaves nothing.

    Args:
        case: the case.
        folder: an empty folder; files are made in it.
        capfd: pytest's capture of the descriptors, so that what libraries of C write is seen too.
    """
    if case.make is not None:
        case.make(folder)
    before = hash_tree(folder)
    here = Path.cwd()
    capfd.readouterr()
    os.chdir(folder)
    try:
        with warnings.catch_warnings(record=True) as warned, forbid_network() as asked:
            # as the interpreter does: warnings about code for its authors are not shown to users
            warnings.simplefilter("default")
            for kind in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
                warnings.simplefilter("ignore", kind)
            code = main(case.words)
    finally:
        os.chdir(here)
    out, err = capfd.readouterr()
    assert code == case.code, f"exit code {code}: {err}"
    check_refusal(case, out, err)
    assert not asked, f"it asked the network for {asked}"
    assert not warned, f"a library warned: {[str(each.message) for each in warned]}"
    check_leftovers(case, before, hash_tree(folder))


def check_refusal(case: BadInput, out: str, err: str) -> None:
    """Check what a refused command has written.

    Args:
        case: the case.
        out: its stdout.
        err: its stderr.
    """
    lines = err.splitlines()
    assert lines, "it says nothing on stderr"
    assert case.notes or len(lines) == 1, f"more than one line: {err}"
    sentence = lines[-1]
    assert sentence.startswith("bench"), f"not our sentence: {err}"
    assert "unexpected" not in sentence, sentence  # how main reports what nobody foresaw
    assert "Traceback" not in err + out, err
    assert len(sentence) <= MAX_SENTENCE, f"{len(sentence)} characters: {sentence[:300]}"
    assert re.search(case.says, sentence), f"{case.says!r} is not in: {sentence}"
    assert sentence.isprintable(), f"control characters: {sentence!r}"


def check_leftovers(case: BadInput, before: dict[str, str], after: dict[str, str]) -> None:
    """Check that files and folders are those of before, except where the case allows it."""
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    half = [name for name in changed if name.endswith(".tmp")]
    assert not half, f"half-written: {half}"
    allowed = re.compile("|".join(f"(?:{each})" for each in case.leaves) or "(?!)")
    left = sorted(name for name in changed if not allowed.match(name))
    assert not left, f"written or changed: {left}"


def hash_tree(folder: Path) -> dict[str, str]:
    """The content of every file below a folder by its relative path; folders and links by their kind."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = "link" if path.is_symlink() else "folder" if path.is_dir() else "other"
        if path.is_file() and not path.is_symlink():
            # the first and last megabyte of sparse files of gigabytes
            with path.open("rb") as file:
                digest = hashlib.sha256(file.read(1 << 20))
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - (1 << 20)))
                kind = f"{size} {digest.hexdigest()} {hashlib.sha256(file.read()).hexdigest()}"
        found[path.relative_to(folder).as_posix()] = kind
    return found


def name_case(case: BadInput) -> str:
    """The name of a case as pytest shows it."""
    return case.name
