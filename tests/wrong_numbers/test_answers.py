"""An answer from a record needs no torch: the digest of the model is kept in the cache, and a stale one is not used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from backbones import model_digest
from backbones.create import create_backbone
from backbones.registry import get_card
from benchmarks.resolve_cell import CellRequest, resolve_cell
from benchmarks.run_cell import run_cell
from tests.conftest import ROOT

ANSWER = """
import io, json, sys
from contextlib import redirect_stdout
from benchmarks.cli.main import main
slow = ("torch", "timm", "sklearn", "scipy.stats")
found = []
for words in json.loads(sys.argv[1]):
    with redirect_stdout(io.StringIO()) as text:
        code = main(words)
    seen = [name for name in slow if name in sys.modules]
    found.append({"words": words, "code": code, "slow": seen, "text": text.getvalue()})
print(json.dumps(found))
"""
"""Runs commands in one process; the modules are those that take longer to import than an answer may take."""


def answer(*commands: list[str]) -> list[str]:
    """Run commands in a process of their own, require that they need nothing slow, and return their output."""
    done = subprocess.run(
        [sys.executable, "-c", ANSWER, json.dumps(commands)],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    for each in found:
        assert (each["code"], each["slow"]) == (0, []), each
    return [each["text"] for each in found]


@pytest.mark.parametrize(
    ("task", "protocol"), [("digits", "knn"), pytest.param("mini_ade", "linear", marks=pytest.mark.soak)]
)
def test_an_answer_from_the_record_needs_no_torch(
    task: str, protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "runs"
    first = run_cell(CellRequest(task, "vit_nano", protocol, tier="smoke", out=out, device="cpu"))
    words = [
        "run",
        task,
        "--backbone",
        "vit_nano",
        "--protocol",
        protocol,
        "--tier",
        "smoke",
        "--out",
        str(out),
        "--json",
    ]
    commands = [
        words,
        [*words, "--dry-run"],
        ["plan", "--backbones", "vit_nano", "--tasks", task, *words[4:-1]],
        ["table", "--runs", str(out)],
        ["show", "run", str(first.folder)],
    ]
    # one task will do for the others; pictures of segmentation are drawn by torch when they are first shown
    (cell,) = json.loads(answer(*commands[: 5 if task == "digits" else 2])[0])
    assert cell["record"]["run_id"] == first.record.run_id


ARGUMENTS = {"img_size": 32, "num_classes": 0}


class _BuiltError(Exception):
    """The model was built, so its digest was not taken from the cache."""


def describe_again() -> None:
    """Describe the backbone; raises where no digest of the cache answers."""

    def build() -> torch.nn.Module:
        raise _BuiltError

    model_digest.describe_model(get_card("vit_pico"), ARGUMENTS, build)


def edit_a_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = folder / "create.py"
    file.write_text(file.read_text() + "\n# one line more\n")
    model_digest._hash_own_code.cache_clear()  # as a new process begins


def take_another_timm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_digest, "find_version", lambda name: "0.0.1" if name == "timm" else "1")


def take_another_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_digest, "find_version", lambda name: "0.0.1" if name == "torch" else "1")


@pytest.mark.parametrize("change", [edit_a_source, take_another_timm, take_another_torch])
def test_a_stale_digest_is_computed_anew(
    change: Callable[[Path, pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key holds the code of the room and the versions of the libraries that build the model."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    room = shutil.copytree(ROOT / "backbones", tmp_path / "backbones", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(model_digest, "__file__", str(room / "model_digest.py"))
    monkeypatch.setattr(model_digest, "find_version", lambda name: "1")
    model_digest._hash_own_code.cache_clear()
    card = get_card("vit_pico")
    try:
        model_digest.describe_model(
            card, ARGUMENTS, lambda: create_backbone(card, checkpoint="random", **ARGUMENTS).model
        )
        describe_again()
        change(room, monkeypatch)
        with pytest.raises(_BuiltError):
            describe_again()
    finally:
        monkeypatch.undo()
        model_digest._hash_own_code.cache_clear()


def test_a_swapped_checkpoint_has_another_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Same name, size and time of change: the content counts, which the system's own time of change betrays."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "weights.pth"
    model = create_backbone(get_card("vit_pico"), checkpoint="random", **ARGUMENTS).model
    ids = []
    for _ in range(2):
        with torch.no_grad():
            model.norm.bias.add_(1)
        torch.save(model.state_dict(), tmp_path / "new.pth")
        os.utime(tmp_path / "new.pth", (10**9, 10**9))
        (tmp_path / "new.pth").replace(file)
        request = CellRequest("digits", "vit_pico", "knn", str(file), tier="smoke", out=tmp_path / "runs", device="cpu")
        ids += [resolve_cell(request).identity.run_id for _ in range(2)]
    assert ids[0] == ids[1] != ids[2] == ids[3]
