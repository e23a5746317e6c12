"""The scripts for shells complete what there is; bash, which every machine for tests has, is really asked."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backbones.registry import BACKBONES
from benchmarks.cli.arguments.subparsers import get_subparsers
from benchmarks.cli.completion import render_completion
from benchmarks.cli.main import build_parser
from benchmarks.cli.verbs import COMPLETED_SHELLS, VERBS
from benchmarks.task_registry import TASKS
from tests.limits import HANG_SECONDS

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
_shtab_bench 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""What bash does when TAB is pressed at the end of a line: it calls the function that was registered."""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script of bash."""
    path = tmp_path_factory.mktemp("completion") / "bench.bash"
    path.write_text(render_completion(build_parser(), "bash"))
    return path


def complete(script: Path, line: str, cwd: Path) -> list[str]:
    """The words that bash offers for the last word of a line; a line that ends in a blank has an empty last word."""
    words = ["bash", "--norc", "-c", ASK, "ask", str(script), *line.split(" ")]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_bash_completes_every_verb_and_the_names_of_everything(script: Path, tmp_path: Path) -> None:
    assert complete(script, "bench ", tmp_path) == list(VERBS)
    assert complete(script, "bench run ", tmp_path) == TASKS.list_names()
    assert complete(script, "bench run digits --backbone ", tmp_path) == BACKBONES.list_names()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("bench pret", ["pretrain"]),
        ("bench run dig", ["digits"]),
        ("bench run digits --backbone vit_nano --protocol linear_", ["linear_sgd"]),
        ("bench run digits --tier ", ["smoke", "short", "full"]),  # the parser's own choices
        ("bench run digits --see", ["--seeds"]),
        ("bench sweep --tasks mini_ade mini_l", ["mini_lasot"]),  # a second value of one option
        ("bench pretrain mae_distill_", ["mae_distill_d2"]),
        ("bench analyze ck", ["cka"]),
        ("bench analyze cka vit_nano vit_pi", ["vit_pico"]),
        ("bench show backbone deit_tiny_", ["deit_tiny_12h"]),
        ("bench show task cifar100", ["cifar100"]),
        ("bench list pro", ["protocols"]),
        ("bench table --runs my", ["my_runs"]),  # a folder, and no file
        ("bench run digits --checkpoint my", ["my.pth", "my_runs"]),
        ("bench --print-completion z", ["zsh"]),
    ],
)
def test_bash_completes_a_word(line: str, offered: list[str], script: Path, tmp_path: Path) -> None:
    (tmp_path / "my_runs").mkdir()
    (tmp_path / "my.pth").touch()
    assert sorted(complete(script, line, tmp_path)) == sorted(offered)


@pytest.mark.parametrize("shell", COMPLETED_SHELLS)
def test_a_script_has_every_verb_option_and_name(shell: str) -> None:
    text = render_completion(build_parser(), shell)
    actions = [action for parser in walk_parsers(build_parser()) for action in parser._actions]
    options = {option for action in actions for option in action.option_strings}
    for name in (*VERBS, *TASKS.list_names(), *BACKBONES.list_names(), "ostrack256_ce", "mae_distill_d2"):
        assert name in text, name
    # tcsh writes an option without its dashes in front of the next letters
    assert [option for option in options if option.lstrip("-") not in text] == []


@pytest.mark.parametrize(("shell", "program"), [("bash", "bash"), ("zsh", "zsh"), ("tcsh", "tcsh")])
def test_the_shell_reads_its_script(shell: str, program: str, tmp_path: Path) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program} on this machine")
    path = tmp_path / "script"
    path.write_text(render_completion(build_parser(), shell))
    words = [program, "-f", str(path)] if shell == "tcsh" else [program, "-n", str(path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_script_is_written_without_torch() -> None:
    code = (
        "import json, sys\nfrom benchmarks.cli.main import main\ncode = main(['--print-completion', 'zsh'])\n"
        "heavy = [name for name in ('torch', 'timm', 'mmengine', 'sklearn', 'pandas') if name in sys.modules]\n"
        "sys.stderr.write(json.dumps([code, heavy]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_SECONDS)
    assert json.loads(done.stderr) == [0, []]
    assert done.stdout.startswith("#compdef bench\n")


def test_a_missing_package_and_a_foreign_shell_are_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks.cli.main import main

    assert main(["--print-completion", "ksh"]) == 2
    assert "'ksh' (choose from" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "shtab", None)  # as if it were not installed
    assert main(["--print-completion", "bash"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "bench: completion scripts need the package shtab, which is missing: pip install shtab\n")


def walk_parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser and those of all its sub-commands."""
    yield parser
    for child in get_subparsers(parser).values():
        yield from walk_parsers(child)
