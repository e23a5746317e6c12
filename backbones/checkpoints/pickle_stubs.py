"""Empty substitutes for the classes that some public checkpoints contain besides their weights.

Trackers of the pytracking family (OSTrack, STARK, MixFormer ...) save the trainer's settings and running averages with
the weights, as objects of their own classes. ``torch.load(weights_only=True)`` refuses every class that it was not told
to allow. The classes here have the same names and no behavior, so no code from the file runs. Their contents are
not used.
"""

from __future__ import annotations

# the package that OSTrack and its successors use, and the older one of pytracking itself
_STUB_MODULES = ("lib.train.admin", "ltr.admin")
_STUB_CLASSES = (
    ("settings", "Settings"),
    ("local", "EnvironmentSettings"),
    ("stats", "AverageMeter"),
    ("stats", "StatValue"),
)


def _make_stub_class(module: str, name: str) -> type:
    """Create an empty class with the module and name that the pickle asks for."""
    # torch compares the name in the pickle with the class's own __module__ and __qualname__
    return type(name, (), {"__module__": module, "__qualname__": name, "__doc__": "An empty substitute."})


PICKLE_STUBS: list[type] = [
    _make_stub_class(f"{root}.{module}", name) for root in _STUB_MODULES for module, name in _STUB_CLASSES
]
