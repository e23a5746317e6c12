"""Look into a parser of argparse: the parsers of its sub-commands."""

from __future__ import annotations

import argparse
from collections.abc import Mapping


def get_subparsers(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Return the parsers of the sub-commands by name; the mapping is empty for a parser without sub-commands."""
    # argparse has no public way to list the arguments of a parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
