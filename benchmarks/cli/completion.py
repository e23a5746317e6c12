"""Write the script with which a shell completes ``bench``: verbs, options, and the names of what there is.

The script holds all names itself. A shell that asked Python at every press of the key would wait for it each time;
so the script is written again after a plug-in or a card was added. Imports no torch.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.cli.arguments.subparsers import get_subparsers
from benchmarks.cli.verbs import VERBS
from benchmarks.listing import list_backbones, list_pretraining_methods, list_protocols, list_tasks
from foundation.errors import UserError

_TASKS, _BACKBONES, _PROTOCOLS, _METHODS = "tasks", "backbones", "protocols", "methods"

# By the name under which argparse stores an argument. What stands for several things, such as NAME of bench show, is
# not known before the word in front of it is, and completes the names of all of them.
_NAMES_BY_ARGUMENT: Mapping[str, tuple[str, ...]] = {
    "task": (_TASKS,),
    "tasks": (_TASKS,),
    "set": (_TASKS,),
    "data": (_TASKS,),
    "backbone": (_BACKBONES,),
    "backbones": (_BACKBONES,),
    "teacher": (_BACKBONES,),
    "first": (_BACKBONES,),
    "second": (_BACKBONES,),
    "names": (_BACKBONES,),
    "protocol": (_PROTOCOLS,),
    "protocols": (_PROTOCOLS,),
    "method": (_METHODS,),
}
_NAMES_BY_VERB: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("analyze", "name"): (_BACKBONES,),
    ("show", "name"): (_BACKBONES, _TASKS),
    ("check", "name"): (_BACKBONES, _TASKS),
    ("get", "name"): (_BACKBONES, _TASKS),
}
_FILE_WORDS = {"FILE", "PATH", "IMAGES", "SUITE", "VIDEO|FOLDER|CAMERA", "RECORD|FOLDER"}
_FOLDER_WORDS = {"DIR", "RUN", "RUNS"}
_FILE_ARGUMENTS = {"checkpoint"}


def render_completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the completion script of a shell.

    Args:
        parser: the parser of ``bench`` with the options of every verb. It is changed, and parses nothing afterwards.
        shell: one of ``benchmarks.cli.verbs.COMPLETED_SHELLS``.

    Returns:
        The text of the script, which the shell has to read, see docs/guides/install.md.

    Raises:
        UserError: the package shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise UserError("completion scripts need the package shtab, which is missing: pip install shtab") from error
    names = _collect_names()
    for verb, action in _list_arguments(parser):
        words = _find_names(verb, action)
        if words:
            # as if no other word were valid: the shell offers these, and whoever types timm/<name> is not kept from it
            action.choices = [name for kind in words for name in names[kind]]
        elif _takes_file(action):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif _takes_folder(action):
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    script: str = shtab.complete(parser, shell)
    return script


def _collect_names() -> dict[str, list[str]]:
    """Return the names that complete, of everything that is registered; a broken plug-in has its name too."""
    protocols = dict.fromkeys(row["protocol"] for row in list_protocols())  # several tasks have one protocol
    return {
        _TASKS: [row["name"] for row in list_tasks()],
        _BACKBONES: [row["name"] for row in list_backbones()],
        _PROTOCOLS: sorted(protocols),
        _METHODS: [row["name"] for row in list_pretraining_methods()],
    }


def _list_arguments(parser: argparse.ArgumentParser, verb: str = "") -> Iterator[tuple[str, argparse.Action]]:
    """Yield every argument that takes a value, with its verb, and make the verbs themselves visible to shtab."""
    for action in parser._actions:  # argparse has no public way to list the arguments of a parser
        if isinstance(action, argparse._SubParsersAction):
            _show_commands(action)
        elif action.nargs != 0 and action.choices is None:
            yield verb, action
    for name, child in get_subparsers(parser).items():
        yield from _list_arguments(child, verb or name)


def _show_commands(action: argparse._SubParsersAction[Any]) -> None:
    # bench --help has a table of its own, so the verbs are hidden from argparse's; shtab leaves hidden ones out
    action.help = "what to do"
    shown = {each.dest for each in action._choices_actions}
    for name in action.choices:
        if name not in shown:
            summary = VERBS[name].summary if name in VERBS else ""
            action._choices_actions.append(action._ChoicesPseudoAction(name, (), summary))


def _find_names(verb: str, action: argparse.Action) -> tuple[str, ...]:
    # K of bench analyze layers --first, and N of --images, are numbers
    if callable(action.type):
        return ()
    return _NAMES_BY_VERB.get((verb, action.dest)) or _NAMES_BY_ARGUMENT.get(action.dest, ())


def _takes_file(action: argparse.Action) -> bool:
    return action.metavar in _FILE_WORDS or action.dest in _FILE_ARGUMENTS


def _takes_folder(action: argparse.Action) -> bool:
    return action.metavar in _FOLDER_WORDS
