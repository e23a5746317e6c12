"""A folder for unfinished files that one process at a time may use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import Timeout

from foundation.errors import UserError
from foundation.storage.file_locks import take_file_lock
from foundation.storage.write_faults import make_storage_error


@contextmanager
def open_locked_scratch(scratch: Path, *, is_busy: str, cannot_write: str) -> Iterator[Path]:
    """Yield the path of a hidden folder that is removed at the end; what a killed process left in it is still there.

    The lock file beside it is removed too, while it is held: whoever has opened it meanwhile finds that it locked a
    file without a name, and tries again with a new one (filelock since 3.21.2).

    Args:
        scratch: the folder; its parent is created.
        is_busy: the sentence for the user when another process has it.
        cannot_write: the sentence for a place that cannot be written, with ``{error}``.

    Raises:
        UserError: another process uses the folder, or the place cannot be written.
    """
    try:
        scratch.parent.mkdir(parents=True, exist_ok=True)
        lock = take_file_lock(scratch.with_name(f"{scratch.name}.lock"), timeout=0)
    except Timeout as error:
        raise UserError(is_busy) from error
    except OSError as error:
        reason = make_storage_error(scratch.parent, error).strerror
        raise UserError(cannot_write.format(error=reason)) from error
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
