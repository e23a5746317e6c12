"""The reader of records gets real ones with changed bytes, types and depths: it reads, or refuses in a sentence.

What it reads, every list and table can take: the facts of the run, its departures and its identity follow.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import RecordError
from results.records.record import dump_record, parse_record
from results.records.store import RECORD_FILE, read_record
from results.store_index.run_facts import encode_run
from tests.conftest import ROOT
from tests.results.records.hostile import HOSTILE_NAME, list_leaves, nest, replace_value

SECONDS = float(os.environ.get("BENCH_FUZZ_SECONDS", "60"))

SEEDS = [
    path.read_bytes()
    for path in (
        *sorted((ROOT / "results" / "reference_runs").rglob("record.json")),
        *sorted((ROOT / "tests" / "results" / "fixtures").glob("record_*.json")),
    )
]
"""The records that are changed."""

TOKENS = [
    *(
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"-1e-400",
        b"[]",
        b"{}",
        b'""',
        b"[[[[",
        b"}",
        b'"',
        b"\\u0000",
    ),
    *(
        b"\\ud800",
        b"\xff",
        b"\0",
        b"9" * 5_000,
        b"-0.0",
        b'{"a":' * 300,
        b"[" * 1_200,
        b"\xef\xbb\xbf",
        b"\xe2\x80\xa8",
    ),
]

VALUES: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        2**63,
        2**64,
        10**30,
        1.5,
        1e308,
        -1e308,
        5e-324,
        "",
        "..",
        "/etc/passwd",
        "a\0b",
        HOSTILE_NAME,
    ),
    *(
        [],
        {},
        [[]],
        {"": None},
        nest(99),
        nest(101),
        nest(190),
        "x" * 5_000,
        ["x"] * 1_000,
        {str(i): i for i in range(500)},
    ),
]


def change_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, remove, repeat or put in some bytes."""
    made = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        start = rng.randrange(len(made) + 1)
        length = rng.choice((1, 2, 8, 64))
        kind = rng.randrange(4)
        if kind == 0:
            made[start : start + length] = rng.randbytes(length)
        elif kind == 1:
            del made[start : start + length]
        elif kind == 2:
            made[start:start] = rng.choice(TOKENS)
        else:
            made[start:start] = made[start : start + length] * rng.randint(1, 50)
    return bytes(made)


def change_values(content: bytes, rng: random.Random) -> bytes:
    """Put other values in the places of some."""
    made = json.loads(content)
    for _ in range(rng.randint(1, 4)):
        made = replace_value(made, rng.choice(list_leaves(made)), rng.choice(VALUES))
    return json.dumps(made, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def change_numbers(content: bytes, rng: random.Random) -> bytes:
    """Put another token in the place of a number, which Python's JSON would not write."""
    digits = [place for place in range(1, len(content)) if content[place : place + 1].isdigit()]
    place = rng.choice(digits)
    return content[:place] + rng.choice(TOKENS) + content[place + 1 :]


CHANGES: list[Callable[[bytes, random.Random], bytes]] = [change_bytes, change_values, change_numbers]


def check_reader(content: bytes, folder: Path) -> bool:
    """Read a record; return whether it was one."""
    (folder / RECORD_FILE).write_bytes(content)
    try:
        record = read_record(folder)
    except RecordError as error:
        sentence = str(error)
        assert str(folder / RECORD_FILE) in sentence and len(sentence) < 15_000
        assert not any(
            f"unexpected {name}" in sentence for name in ("Key", "Type", "Value", "Zero", "Recursion", "Attr")
        )
        return False
    encode_run(record)
    again = dump_record(record)
    if record.schema_version >= 4:
        assert dump_record(parse_record(again, "again")) == again
    return True


@pytest.mark.soak
def test_changed_records(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    counts = [0, 0]
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        seed += 1
        rng = random.Random(seed)
        content = rng.choice(CHANGES)(rng.choice(SEEDS), rng)
        try:
            counts[check_reader(content, tmp_path)] += 1
        except Exception as error:
            kept = tmp_path / f"seed-{seed}.json"
            kept.write_bytes(content)
            raise AssertionError(f"seed {seed}, content kept in {kept}") from error
    assert min(counts) > 0, "some are refused and some are read"


@pytest.mark.parametrize("change", CHANGES)
def test_a_few_changed_records(change: Callable[[bytes, random.Random], bytes], tmp_path: Path) -> None:
    """The target itself works, with fixed seeds."""
    for seed in range(60):
        rng = random.Random(seed)
        check_reader(change(rng.choice(SEEDS), rng), tmp_path)
