"""Inert substitutes for what some public checkpoints contain besides their weights.

``torch.load(weights_only=True)`` refuses every class and function that it was not told to allow. The names below are
those that public trainers save with the weights: settings, logs, running averages of a loss. Each of them is replaced
by a class or function of this module that does nothing, so no code from the file runs and none of the packages is
needed. Their contents are not used, except for the settings of trackers, which are kept as plain data.
"""

from __future__ import annotations

import argparse
from collections import OrderedDict
from collections.abc import Callable
from typing import Any


class InertObject:
    """An object without behavior that takes the place of any object in a pickle."""

    def __init__(self, *arguments: object) -> None:
        """Ignore the arguments."""

    def __new__(cls, *arguments: object) -> InertObject:
        """Create the object, whatever the pickle passes."""
        return super().__new__(cls)

    def __setstate__(self, state: object) -> None:
        """Ignore the state."""


class SettingsObject(InertObject):
    """The settings of a training, of which only the attributes are kept.

    Attributes:
        values: the attributes by name; from anybody's file, so their types are checked where they are used.
    """

    def __init__(self, *arguments: object) -> None:
        """Ignore the arguments."""
        self.values: dict[str, Any] = {}

    def __setstate__(self, state: object) -> None:
        """Keep the attributes; another state than a table of them is ignored."""
        self.values = dict(state) if isinstance(state, dict) else {}


def _make_plain_dict(*arguments: object) -> dict[object, object]:
    """Create an empty dict in place of a ``defaultdict``; the pickle then fills it."""
    return {}


# the trackers of the pytracking family (OSTrack, STARK, MixFormer ...), and the older pytracking itself
_TRACKER_ROOTS = ("lib.train.admin", "ltr.admin")
_OBJECTS = (
    *(
        f"{root}.{name}"
        for root in _TRACKER_ROOTS
        for name in ("local.EnvironmentSettings", "stats.AverageMeter", "stats.StatValue")
    ),
    "mmengine.logging.history_buffer.HistoryBuffer",
    # arrays and scalars in logs; as real arrays they could claim any size
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    "numpy.ndarray",
    "numpy.dtype",
    # the types that a defaultdict names, and what mmengine refers to the methods of its HistoryBuffer with
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in ("dict", "list", "int", "float", "getattr")
    ),
    # paths in the options of a training
    *(f"pathlib{module}.{name}" for module in ("", "._local") for name in ("PosixPath", "WindowsPath")),
)
_DICTS = (
    "yacs.config.CfgNode",  # Swin and SimMIM
    "addict.addict.Dict",
    "mmengine.config.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
)

PICKLE_STUBS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    argparse.Namespace,  # MAE and DeiT save their options as one, which only has attributes and runs no code
    *((InertObject, name) for name in _OBJECTS),
    *((SettingsObject, f"{root}.settings.Settings") for root in _TRACKER_ROOTS),
    # the unpickler fills only dicts of its own kinds, and sets attributes only of this one
    *((OrderedDict, name) for name in _DICTS),
    (_make_plain_dict, "collections.defaultdict"),
]
"""What ``torch.serialization.safe_globals`` gets: the substitute, and the name in the pickle that it stands for."""
