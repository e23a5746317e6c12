"""Runs commands of ``bench`` in this process and sends it a signal at a chosen moment: when a file has got its name."""

from __future__ import annotations

import fnmatch
import hashlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from benchmarks.cli.main import main
from foundation.files import sha256_file
from results.records.store import scan_runs


class Moment(NamedTuple):
    """When a signal is sent.

    Attributes:
        file: pattern of the path that a finished file gets.
        times: at its how manieth time.
    """

    file: str
    times: int = 1


def run_stopped(words: Sequence[str], moment: Moment, number: int) -> int:
    """The exit code of a command that is sent a signal just after a file was renamed into place."""
    seen = 0

    def watch(rename: Any) -> Any:
        def rename_and_stop(source: Any, target: Any, **options: Any) -> None:
            nonlocal seen
            rename(source, target, **options)
            if fnmatch.fnmatch(str(target), moment.file):
                seen += 1
                if seen == moment.times:
                    signal.raise_signal(number)

        return rename_and_stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", watch(os.replace))
        patch.setattr(os, "rename", watch(os.rename))
        code = main(list(words))
    assert seen >= moment.times, f"{moment} never came"
    return code


def read_outcomes(store: Path) -> dict[str, Any]:
    """Metrics, the hash of the items and the hash of the last weights of every complete run, by run id."""
    found: dict[str, Any] = {}
    for folder, record in scan_runs([store]).records:
        assert record.status == "complete", (folder, record.reason)
        assert record.result is not None
        assert record.run_id not in found, f"{folder} is a second record of one run"
        weights = sorted((folder / "checkpoints").glob("step_*.pth"))[-1:] + sorted(folder.glob("*.pth"))
        digests = [hash_weights(path) for path in weights]
        found[record.run_id] = (record.result.metrics, sha256_file(folder / record.result.items.file), digests)
    return found


def hash_weights(path: Path) -> str:
    """A digest of the names and values of a checkpoint's tensors."""
    digest = hashlib.sha256()
    content = torch.load(path, map_location="cpu", weights_only=True)
    for name, value in content.get("state_dict", content).items():
        if isinstance(value, torch.Tensor):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()
