"""Change files at random and give them to a reader, in a child whose memory and time per file are bounded."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

from foundation.errors import BenchError

Mutate = Callable[[random.Random], bytes]
"""Returns the content of the next file."""

FUZZ_SECONDS_VAR = "BENCH_FUZZ_SECONDS"
"""Seconds that a soak test takes for each reader; 60 by default."""

_SECONDS_PER_FILE = 60
"""Net for a reader that does not end; it takes some milliseconds."""

# what numbers, lengths and names are in hostile files
_TOKENS = (
    *(b"", b"\0", b"\xff" * 8, b"\x7f" + b"\xff" * 7, b"-1", b"1e999", b"nan", b"-inf", b"9" * 400, b"0x1p9", b"1_0"),
    *(
        b"\n",
        b"\r",
        b"\r\n",
        b",",
        b"\t",
        b";",
        b'"',
        b"{",
        b"[" * 2000,
        b"\x1b[2J",
        "\u202e".encode(),
        b"\xef\xbb\xbf",
    ),
    *(b"../", b"PK\3\4", b"PK\5\6", b"\x80\x02", b".", b"c__builtin__\neval\n", b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"),
)


def mutate_bytes(content: bytes, generator: random.Random) -> bytes:
    """Return some bytes with one to eight random changes: bytes, lengths, pieces, tokens.

    Args:
        content: the bytes.
        generator: source of the changes.
    """
    data = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 4, 8))):
        place = generator.randrange(len(data) + 1)
        length = min(generator.choice((1, 1, 2, 4, 8, 64)), len(data) - place)
        match generator.randrange(6):
            case 0:
                data[place : place + length] = generator.randbytes(length)
            case 1:
                del data[place : place + length]
            case 2:
                data[place:place] = data[place : place + length] * generator.choice((1, 2, 50))
            case 3:
                data[place : place + length] = generator.choice(_TOKENS)
            case 4:
                del data[place:]
            case 5 if length:
                data[place] = (data[place] + generator.choice((1, 255, 128))) % 256
    return bytes(data)


def fuzz_reader(
    read: Callable[[Path], object],
    make_next: Mutate,
    path: Path,
    *,
    seconds: float | None = None,
    max_files: int | None = None,
    memory: int = 2 << 30,
    seed: int = 0,
) -> int:
    """Give changed files to a reader in a child process; return how many.

    Args:
        read: the reader.
        make_next: returns the content of the next file.
        path: the file that is written again and again; it holds the last content when a reader fails.
        seconds: when to stop.
        max_files: after how many files to stop.
        memory: bytes of memory that the child may take beyond what it has.
        seed: seed of the changes.

    Raises:
        AssertionError: the reader raised another error, did not end, or ended the process.
    """
    report, count = path.with_suffix(".report"), path.with_suffix(".count")
    count.write_text("0")
    child = os.fork()
    if child == 0:
        try:
            _limit_memory(memory)
            _read_files(read, make_next, path, random.Random(seed), seconds, max_files)
            os._exit(0)
        finally:  # reached with an error alone
            report.write_text(traceback.format_exc())
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    what = report.read_text() if report.exists() else f"the process ended with {status}"
    assert status == 0, f"file {count.read_text()} of seed {seed}, kept at {path}: {what}"
    return int(count.read_text())


def _limit_memory(more: int) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + more
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _read_files(
    read: Callable[[Path], object],
    make_next: Mutate,
    path: Path,
    generator: random.Random,
    seconds: float | None,
    max_files: int | None,
) -> None:
    number, end = 0, None if seconds is None else time.monotonic() + seconds
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    while (max_files is None or number < max_files) and (end is None or time.monotonic() < end):
        number += 1
        path.write_bytes(make_next(generator))
        path.with_suffix(".count").write_text(str(number))
        signal.alarm(_SECONDS_PER_FILE)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("default")
            try:
                read(path)
            except BenchError as error:
                # a name from the file may be in it: the output escapes it, and cuts nothing
                assert len(str(error)) < 3000, f"a message of {len(str(error))} characters"
        assert not warned, f"a library warned: {warned[0].message}"
        signal.alarm(0)
