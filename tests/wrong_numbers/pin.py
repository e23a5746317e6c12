"""Pin the numbers of the protocols of a room: ``python -m tests.wrong_numbers.pin classification``.

Protocols with a new version get new pins. A number that moved without a new version is refused, unless
``--same-version`` says why; the reason is then kept in the file.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from tests.wrong_numbers.pinning.comparison import describe_version_drift, explain_move, find_moved
from tests.wrong_numbers.pinning.pinned_file import (
    ALL_PROTOCOLS,
    ROOM_NAMES,
    PinnedEntry,
    PinnedFile,
    read_pinned_file,
    write_pinned_file,
)

Pins = dict[str, Any]


def main(words: Sequence[str] | None = None) -> int:
    """Measure rooms and write their files; a file is left as it is if something of its room is refused."""
    parser = argparse.ArgumentParser(prog="python -m tests.wrong_numbers.pin", description=__doc__)
    parser.add_argument("rooms", nargs="+", choices=ROOM_NAMES, metavar="ROOM", help=", ".join(ROOM_NAMES))
    parser.add_argument("--same-version", metavar="REASON", help="why numbers move although no version was raised")
    given = parser.parse_args(words)
    drift = describe_version_drift()
    if drift:
        sys.stderr.write(f"{drift}; install requirements.lock to pin\n")
        return 2
    refused = []
    for room in given.rooms:
        pins, versions = measure_room(room)
        file = read_pinned_file(room)
        problems = update_pins(file, pins, versions, given.same_version)
        refused += problems
        if not problems:
            write_pinned_file(file)
    sys.stderr.write("".join(f"refused: {problem}\n" for problem in refused))
    return 1 if refused else 0


def measure_room(room: str) -> tuple[dict[str, Pins], dict[str, int]]:
    """Measure everything of a room.

    Returns:
        The pins by entry and section, and the version of every protocol.
    """
    from tests.wrong_numbers.pinning.measure import list_pins, list_versions, measure_pin  # torch: after --help

    pins: dict[str, Pins] = {}
    seconds: dict[str, float] = {}
    for entry, section in list_pins(room):
        began = time.process_time()
        pins.setdefault(entry, {})[section] = measure_pin(room, entry, section)
        seconds[entry] = seconds.get(entry, 0.0) + time.process_time() - began
    slow = sorted(seconds, key=seconds.__getitem__, reverse=True)[:5]
    sys.stderr.write(
        f"{room}: {len(seconds)} entries in {sum(seconds.values()):.1f} s; the slowest: "
        + ", ".join(f"{name} {seconds[name]:.1f} s" for name in slow)
        + "\n"
    )
    return pins, list_versions(room)


def update_pins(
    file: PinnedFile, pins: Mapping[str, Pins], versions: Mapping[str, int], reason: str | None = None
) -> list[str]:
    """Take new numbers into the pins of a room, where the rule allows it.

    A number that is within its tolerance keeps its pin, so that the file does not change with the processor.

    Args:
        file: the pins of the room; changed in place.
        pins: what was measured, by entry and section.
        versions: the version of every protocol.
        reason: why numbers may move without a new version; ``None`` if they may not.

    Returns:
        What is refused, one sentence each; the file must then not be written.
    """
    refused = []
    updated: dict[str, PinnedEntry] = {}
    for entry, found in pins.items():
        current = dict(versions) if entry == ALL_PROTOCOLS else {entry: versions[entry]}
        old = file.entries.get(entry)
        if old is None:
            updated[entry] = PinnedEntry(current, found)
            continue
        lower = [name for name in current if current[name] < old.versions.get(name, 0)]
        if lower:
            refused.append(
                f"{lower[0]} has version {current[lower[0]]}, and {old.versions[lower[0]]} is pinned already"
            )
        moved = {
            section: find_moved(section, old.pins[section], found[section])
            if section in found
            else [f"{section} is gone"]
            for section in old.pins
        }
        moved = {section: phrases for section, phrases in moved.items() if phrases}
        # sections that are new are pinned without a question: nothing was promised about them
        kept = {name: found[name] if name in moved or name not in old.pins else old.pins[name] for name in found}
        same_version = () if old.is_superseded_by(current) else old.same_version
        if moved and not old.is_superseded_by(current):
            if not reason:
                refused.append(
                    explain_move(file.room, entry, current, [each for some in moved.values() for each in some])
                )
                continue
            same_version = (*same_version, {"versions": current, "moved": sorted(moved), "reason": reason})
        updated[entry] = PinnedEntry(current, kept, same_version)
    file.entries = updated  # entries of protocols that are gone go too
    return refused


if __name__ == "__main__":
    # no cache of the user is read, and the tests' own configuration of threads holds here too
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="pins-cache-") as cache:
        os.environ["BENCH_CACHE"] = cache
        sys.exit(main())
