"""Whose a checkpoint is and whether it is whole: a small file for each names its run, its seed and its SHA-256.

``sha256/step_00000012.json`` describes ``step_00000012.pth``. It is written before the checkpoint gets its name, so a
kill never leaves a checkpoint without its description; only earlier versions do. Imports no torch.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from foundation.files import sha256_file, write_atomic
from foundation.storage.regular_files import NotRegularFileError
from foundation.storage.write_faults import name_write_faults
from results.records.strict_model import load_json


class CheckpointOwner(NamedTuple):
    """The training that a checkpoint belongs to.

    Attributes:
        run_id: the run's id, followed by the folder of the training if the run has several; empty: not checked.
        seed: the run's seed.
    """

    run_id: str
    seed: int


@contextmanager
def checkpoint_writer(path: Path, owner: CheckpointOwner) -> Iterator[Path]:
    """Yield the path of a temporary file to write, which becomes ``path`` when the block ends well.

    Args:
        path: the checkpoint.
        owner: the training that writes it.

    Raises:
        StorageError: it cannot be written; nothing of it is left.
    """
    partial = path.with_name(f".{path.name}.tmp")
    try:
        with name_write_faults(path):
            # what a killed process left; and torch would write through a link of this name
            partial.unlink(missing_ok=True)
            yield partial
            with partial.open("rb+") as file:
                os.fsync(file.fileno())
        _publish_checkpoint(path, partial, owner)
    except BaseException:  # half of a checkpoint is of no use, and fills a disk that may be full
        _discard_partial(partial)
        raise


def _discard_partial(partial: Path) -> None:
    """Remove a file that was not completed, and give its room back at once: the error keeps torch's writer open."""
    with contextlib.suppress(OSError):  # it was never made
        os.truncate(partial, 0)
    partial.unlink(missing_ok=True)


def _publish_checkpoint(path: Path, partial: Path, owner: CheckpointOwner) -> None:
    """Write the description of a checkpoint, then give the checkpoint its name."""
    # Before the rename: a kill in between leaves a description without a checkpoint, which nobody reads. (If it was
    # that of an older file of the same name, that file no longer counts, and the training goes on from the one before.)
    content = {"run_id": owner.run_id, "seed": owner.seed, "sha256": sha256_file(partial)}
    get_digest_path(path).parent.mkdir(exist_ok=True)
    write_atomic(get_digest_path(path), json.dumps(content) + "\n")
    # A rename is atomic: after a kill or a power failure the file is complete or does not exist.
    partial.replace(path)


def get_digest_path(path: Path) -> Path:
    """Return the file that describes a checkpoint."""
    # in a folder of its own, so that ``best_*`` means the weights alone
    return path.parent / "sha256" / f"{path.stem}.json"


def find_digest_fault(path: Path, owner: CheckpointOwner | None = None) -> str | None:
    """Return what is wrong with a checkpoint according to its description, as a sentence; ``None`` if nothing is.

    A checkpoint without a description has no fault; whether it may be used is decided elsewhere.

    Args:
        path: the checkpoint.
        owner: the training that asks for it; ``None`` checks the content only.
    """
    description = get_digest_path(path)
    if not description.is_file():
        return None
    try:
        content = load_json(description.read_text())
        stated, digest = CheckpointOwner(content["run_id"], content["seed"]), content["sha256"]
    except (ValueError, KeyError, TypeError):
        return f"the checkpoint {path} cannot be checked, as its digest in {description} is damaged"
    if owner is not None and (stated.seed != owner.seed or owner.run_id not in ("", stated.run_id)):
        return (
            f"the checkpoint {path} belongs to run {stated.run_id or 'without an id'}, seed {stated.seed}, not this one"
        )
    try:
        found = sha256_file(path)
    except NotRegularFileError as error:
        return f"the checkpoint {path} cannot be read ({error.strerror or error})"
    if found != digest:
        return f"the checkpoint {path} is damaged: its SHA-256 is not that of the file that was written"
    return None
