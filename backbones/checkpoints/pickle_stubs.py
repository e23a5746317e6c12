"""Inert stand-ins for classes that public checkpoints carry beside their weights.

Trackers of the pytracking family (OSTrack, STARK, MixFormer ...) save the trainer's settings and running averages with
the weights, as objects of their own code. ``torch.load(weights_only=True)`` refuses any class it is not told of; these
have the names and no behaviour, so nothing of the file runs, and what they hold is not used.
"""

from __future__ import annotations

_STUB_MODULES = ("lib.train.admin", "ltr.admin")
_STUB_CLASSES = (
    ("settings", "Settings"),
    ("local", "EnvironmentSettings"),
    ("stats", "AverageMeter"),
    ("stats", "StatValue"),
)


def _make_stub_class(module: str, name: str) -> type:
    return type(name, (), {"__module__": module, "__qualname__": name, "__doc__": "Stands for a class; does nothing."})


PICKLE_STUBS: list[type] = [
    _make_stub_class(f"{root}.{module}", name) for root in _STUB_MODULES for module, name in _STUB_CLASSES
]
