"""Files as OSTrack's training code writes them: the weights, and beside them its own settings object."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tracking.models.tracker_model import TrackerModel

CE_NAME, PLAIN_NAME = "vitb_256_mae_ce_32x4_ep300", "vitb_256_mae_32x4_ep300"
_TOWERS = {"ctr": "score", "offset": "offset", "size": "size"}


class Importable:
    """Makes classes findable under their names, as pickle wants when it writes them."""

    def __init__(self, made: dict[str, type]) -> None:
        self.made = made

    def __enter__(self) -> None:
        import sys
        from types import ModuleType

        self.before = dict(sys.modules)
        for full, kind in self.made.items():
            parts = full.split(".")
            for end in range(1, len(parts)):
                sys.modules.setdefault(".".join(parts[:end]), ModuleType(".".join(parts[:end])))
            setattr(sys.modules[".".join(parts[:-1])], parts[-1], kind)

    def __exit__(self, *_: object) -> None:
        import sys

        for name in set(sys.modules) - set(self.before):
            if name.startswith(("lib", "ltr")):
                del sys.modules[name]


def save_ostrack_file(path: Path, net: Mapping[str, Tensor], **settings: Any) -> Path:
    """Write a checkpoint with the keys of ``save_checkpoint`` of OSTrack's trainer."""
    names = ("settings.Settings", "local.EnvironmentSettings", "stats.AverageMeter")
    made = {
        f"lib.train.admin.{name}": type(
            name.rpartition(".")[2], (), {"__module__": f"lib.train.admin.{name.rpartition('.')[0]}"}
        )
        for name in names
    }
    kept = made["lib.train.admin.settings.Settings"]()
    kept.env = made["lib.train.admin.local.EnvironmentSettings"]()
    kept.device, kept.use_gpu = torch.device("cuda:0"), True
    vars(kept).update(settings)
    content = {
        "epoch": 300, "actor_type": "OSTrackActor", "net_type": "OSTrack", "net": OrderedDict(net), "net_info": None,
        "constructor": None, "optimizer": {}, "stats": OrderedDict(), "settings": kept,
    }  # fmt: skip
    with Importable(made):
        torch.save(content, path)
    return path


def list_ostrack_tensors(model: TrackerModel) -> dict[str, Tensor]:
    """The tensors of our network under the names that OSTrack's code gives them, written out here."""
    state = model.state_dict()
    named: dict[str, Tensor] = {}
    for name, value in state.items():
        if name.startswith("backbone.vit."):
            named[name.replace("backbone.vit.", "backbone.")] = value
    named["backbone.pos_embed_z"] = state["backbone.template_positions"]
    named["backbone.pos_embed_x"] = state["backbone.search_positions"]
    for theirs, ours in _TOWERS.items():
        for layer in range(1, 5):
            for part, place in ((0, 3 * (layer - 1)), (1, 3 * (layer - 1) + 1)):
                prefix = f"head.{ours}.{place}."
                for name, value in state.items():
                    if name.startswith(prefix):
                        named[f"box_head.conv{layer}_{theirs}.{part}.{name.removeprefix(prefix)}"] = value
        for kind in ("weight", "bias"):
            named[f"box_head.conv5_{theirs}.{kind}"] = state[f"head.{ours}.12.{kind}"]
    return named
