"""A folder in which the blocks of a page run: what the page speaks of is there, and trainings are a few steps long."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import litevit_bench
from backbones.registry import BACKBONES
from benchmarks.cli.main import build_parser, main
from foundation.registry import _RegisteredTarget
from tests.conftest import ROOT
from tests.docs.blocks import Block, iter_commands
from tests.docs.made_files import FILES
from tests.limits import HANG_SECONDS

SHELL_COMMANDS = ("cp", "mkdir", "sha256sum", "ls")
"""What a block may call besides ``bench`` and still be executed."""

RUN = re.compile(r"runs/(\w+)/([\w-]*?)(?:RUN|my-run)(?=/|$)")
"""The folder of a run, as pages write it."""

RESULT_WORDS = ("table", "items", "compare", "verify", "pack")
"""Verbs that need runs of two backbones."""

MADE_RUNS = {
    "pretrain": "pretrain mae --backbone vit_nano --data digits",
    "digits": "run digits --backbone vit_pico",
    "mini_ade": "run mini_ade --backbone vit_nano --protocol linear",
    "mini_lasot": "run mini_lasot --backbone vit_pico --protocol fast64",
    "mini_coco": "run mini_coco --backbone vit_pico --protocol frozen",
    "segfolder": "run segfolder --data-root my_data --ignore 11 --backbone vit_nano --protocol linear",
    "imagefolder": "run imagefolder --data-root photos --backbone vit_pico --protocol knn",
}
"""How a run of a task is made where a page speaks of one that no block has made."""


class Workplace:
    """The folder and what was made in it so far.

    Args:
        folder: an empty folder.
        workshop: makes the runs that pages name without making them; where not given, this folder itself.
    """

    def __init__(self, folder: Path, workshop: Workplace | None = None) -> None:
        self.folder = folder
        self.workshop = workshop or self
        self.output = ""
        self.has_board = False
        self.made: dict[tuple[str, ...], list[Path]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def run_block(self, block: Block) -> None:
        """Execute a block of commands, each of which must end with code 0."""
        for words in iter_commands(block):
            self.prepare(words)
            if words[0] == "bench":
                code = self.call_bench(words[1:])
            else:
                assert words[0] in SHELL_COMMANDS, f"{block.place}: {words[0]} is not executed; mark the block"
                line = " ".join(self.fill_in(word) for word in words)
                code = subprocess.run(line, shell=True, cwd=self.folder, timeout=HANG_SECONDS).returncode
            if words[1:2] == ["choose"] and "timed on a busy machine" in self.output:
                code = 0  # it then chooses nothing, which is right
            assert code == 0, f"{block.place}: {' '.join(words)} ends with code {code}:\n{self.output[-3000:]}"

    def run_refusal(self, block: Block, says: str) -> None:
        """Execute a block of one command, which must be refused with the sentence that its page prints."""
        (words,) = iter_commands(block)
        assert words[0] == "bench", block.place
        self.prepare(words)
        code = self.call_bench(words[1:])
        assert code in (1, 2), f"{block.place}: ends with code {code}"
        found = " ".join(self.output.split())
        for part in map(str.strip, " ".join(says.split()).split("...")):
            assert part in found, f"{block.place}: the page says {part!r}, bench says:\n{found}"

    def plan_block(self, block: Block) -> None:
        """Resolve what the commands of a block would run; only data and weights may be missing."""
        for words in iter_commands(block):
            verb = words[1] if words[0] == "bench" else ""
            if verb == "add":  # a name that the next command uses
                self.prepare(words)
                assert self.call_bench(words[1:]) == 0, f"{block.place}: {self.output}"
            elif verb in ("run", "pretrain", "evaluate"):
                self.require_plan(block, [*words[1:], "--dry-run"])
            elif verb in ("sweep", "plan"):
                self.require_plan(block, ["plan", *words[2:]])

    def require_plan(self, block: Block, words: list[str]) -> None:
        """A plan must come about, or fail for want of data or weights alone."""
        self.prepare(words)
        words = [*words, "--no-calibration"] if words[0] == "plan" and "--no-calibration" not in words else words
        code = self.call_bench(words, is_short=False)
        is_missing = re.search(r"bench get (data|weights)|fetched by hand|network is switched off", self.output)
        assert code == 0 or is_missing, f"{block.place}: bench {' '.join(words)}:\n{self.output[-3000:]}"

    def call_bench(self, words: list[str], is_short: bool = True) -> int:
        """Run a command in this process, in the folder; its output is in ``output``."""
        words = [found for word in words for found in self.expand(self.fill_in(word))]
        words = shorten(words) if is_short else words
        stream = io.StringIO()
        before = self.copy_runs(words)
        with work_in(self.folder), contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
            code = main(words)
        self.output = stream.getvalue()
        if words[0] in ("run", "pretrain"):
            self.workshop.made[tuple(words)] = [run for run in self.list_all_runs() if run not in before]
        if words[:2] == ["add", "backbone"] and code == 0:
            # the registry reads the user's cards when it is imported, which in this process is done
            BACKBONES._targets[words[2]] = _RegisteredTarget(f"backbones.user_cards:{words[2]}", "you")
        return code

    def fill_in(self, word: str) -> str:
        """Replace what stands for a run, or for the beginning of a digest, by what is there."""
        word = re.sub(r"@[0-9a-f]{8}\b", lambda _: f"@{self.read_digest()[:8]}", word)
        return RUN.sub(lambda found: self.find_run(found[1], found[2]), word)

    def copy_runs(self, words: list[str]) -> list[Path]:
        """Bring what the same command made on another page, so that it is answered from its record; return all runs."""
        before = self.list_all_runs()
        for run in self.workshop.made.get(tuple(words), []):
            target = self.folder / "runs" / run.parent.name / run.name
            if not target.exists():
                shutil.copytree(run, target)
        return before

    def list_all_runs(self) -> list[Path]:
        """The folders of all complete runs of this page."""
        return [path.parent for path in (self.folder / "runs").glob("*/*/record.json")]

    def expand(self, word: str) -> list[str]:
        """What the shell makes of a word with a star; a tier in the name of a run is the one that tests run."""
        if "*" not in word or not word.startswith("runs/"):
            return [word]
        pattern = re.sub(r"-(short|full)-", "-smoke-", word)
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.glob(pattern)) or [word]

    def find_run(self, task: str, start: str) -> str:
        """The newest run of a task whose folder begins so; where there is none, a copy of one made for all pages."""
        if not (runs := self.list_runs(task, start)):
            command = MADE_RUNS[task]
            if start:
                backbone, _, protocol = start.rstrip("-").partition("-")
                command = f"run {task} --backbone {backbone}" + (f" --protocol {protocol}" if protocol else "")
            made = self.workshop.make_run(task, start, command)
            shutil.copytree(made, self.folder / "runs" / task / made.name)
            runs = self.list_runs(task, start)
        return str(max(runs, key=lambda path: path.stat().st_mtime).relative_to(self.folder))

    def list_runs(self, task: str, start: str) -> list[Path]:
        """The folders of the runs of a task whose names begin so; evaluations of runs are no runs in this sense."""
        found = [path for path in (self.folder / "runs" / task).glob(f"{start}*") if (path / "record.json").is_file()]
        return [path for path in found if "-as_is-" not in path.name]

    def make_run(self, task: str, start: str, command: str) -> Path:
        """Make a run here, once."""
        if not (runs := self.list_runs(task, start)):
            self.prepare(command.split())
            assert self.call_bench(command.split()) == 0, f"bench {command}: {self.output[-3000:]}"
            runs = self.list_runs(task, start)
        return max(runs, key=lambda path: path.stat().st_mtime)

    def read_digest(self) -> str:
        """The SHA-256 of the checkpoint that pages call ``my_checkpoint.pth``."""
        self.prepare(["my_checkpoint.pth"])
        return hashlib.sha256((self.folder / "my_checkpoint.pth").read_bytes()).hexdigest()

    def prepare(self, words: list[str]) -> None:
        """Make the files that a command or a block of Python speaks of, once."""
        if any(word in RESULT_WORDS or "list_runs(" in word for word in words) and not self.has_board:
            self.has_board = True
            make_board(self)
        for name, make_files in FILES.items():
            if any(name in word for word in words) and not (self.folder / name).exists():
                make_files(self.folder)
        for name, make in MAKERS.items():
            if any(name in word for word in words) and not (self.folder / name).exists():
                make(self)

    def run_python(self, block: Block, names: dict[str, Any]) -> None:
        """Execute a block of Python with the names of the page's earlier blocks."""
        text = re.sub(r'"([^"]*)"', lambda found: f'"{self.fill_in(found[1])}"', block.text)
        self.prepare([text])
        names |= {key: value for key, value in self.make_names(text).items() if key not in names}
        stream = io.StringIO()
        if found := re.match(r"# (\w+/\w+\.py)\n", block.text):
            # a file of a package: it is written and imported, as a reader does
            with work_in(self.folder), shorten_functions():
                import_file(self.folder / found[1], text)
            return
        with work_in(self.folder), contextlib.redirect_stdout(stream), shorten_functions():
            exec(compile(text, block.place, "exec"), names)
        self.output = stream.getvalue()

    def make_names(self, text: str) -> dict[str, Any]:
        """The objects that pages name without making them: frames of a video."""
        rng = np.random.default_rng(0)
        frames = {name: rng.integers(0, 255, (240, 320, 3), dtype=np.uint8) for name in ("first_frame", "next_frame")}
        return {name: frame for name, frame in frames.items() if name in text}


def import_file(path: Path, text: str) -> None:
    """Write a module of a package, and import it."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with mock.patch.object(sys, "path", [str(path.parent.parent), *sys.path]):
        importlib.import_module(f"{path.parent.name}.{path.stem}")


@contextlib.contextmanager
def work_in(folder: Path) -> Iterator[None]:
    """Work in a folder (contextlib.chdir, which Python 3.10 has not)."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def shorten(words: list[str]) -> list[str]:
    """A command with ``--tier smoke`` in place of its own tier, where it has one, and with two seeds at most."""
    if "--seeds" in words:
        place = words.index("--seeds") + 1
        while words[place + 2 : place + 3] and words[place + 2].isdecimal():
            del words[place + 2]
    if "--tier" in words:
        place = words.index("--tier") + 1
        return [*words[:place], "smoke", *words[place + 1 :]]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            options = vars(build_parser(words[:1]).parse_args(words))
    except SystemExit:
        return words  # wrong words are refused by the command itself
    if words[0] == "plan":
        return words if "--no-calibration" in words else [*words, "--no-calibration"]
    if words[0] in ("evaluate", "choose"):
        return words  # nothing is trained, and whole evaluations are compared
    return [*words, "--tier", "smoke"] if "tier" in options else words


@contextlib.contextmanager
def shorten_functions() -> Iterator[None]:
    """The functions of ``litevit_bench`` that train do so at the tier smoke."""
    with contextlib.ExitStack() as stack:
        for name in ("run", "pretrain"):
            original = getattr(litevit_bench, name)

            def call(*args: Any, _original: Callable[..., Any] = original, **options: Any) -> Any:
                return _original(*args, **{**options, "tier": "smoke"})

            stack.enter_context(mock.patch.object(litevit_bench, name, call))
        yield


def make_board(place: Workplace) -> None:
    """Runs such as the pages about boards show."""
    for command in (
        "run digits --backbone vit_nano --protocol knn",
        "run digits --backbone vit_pico --protocol knn",
    ):
        assert place.call_bench(command.split()) == 0, place.output
    place.find_run("mini_ade", "")


def make_checkpoint(place: Workplace) -> None:
    """``my_checkpoint.pth``: an encoder of vit_nano."""
    shutil.copy(place.folder / place.find_run("pretrain", "") / "encoder.pth", place.folder / "my_checkpoint.pth")


MAKERS: dict[str, Callable[[Workplace], None]] = {
    "my_checkpoint.pth": make_checkpoint,
}


def make_environment() -> dict[str, str]:
    """The variables under which blocks run: no network, and no data but the embedded."""
    return {"BENCH_OFFLINE": "1", "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "PYTHONPATH": str(ROOT)}
