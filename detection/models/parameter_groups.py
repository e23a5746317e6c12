"""Which parameters of a detector get no weight decay."""

from __future__ import annotations

from typing import Any

from torch import nn


def list_undecayed_names(model: Any) -> set[str]:
    """Return the names of the parameters without weight decay: the LayerNorms of the trunk, and its positions.

    That is what ViTDet's configuration comes to. Everything else decays: all other biases, the relative positions, and
    the channel LayerNorms of pyramid and heads, because detectron2's rule for norms knows ``nn.LayerNorm`` alone and
    those are of a class of its own.

    Args:
        model: a ``Detector``.

    Returns:
        Names as ``model.named_parameters()`` has them.
    """
    trunk: nn.Module = model.backbone.trunk
    # by the module's type and not by the number of dimensions: biases have one too, and decay
    norms = {
        f"{place}.{name}" if place else name
        for place, module in trunk.named_modules()
        if isinstance(module, nn.LayerNorm)
        for name, _ in module.named_parameters(recurse=False)
    }
    # Hiera and others split their positions over several parameters
    positions = {name for name, _ in trunk.named_parameters() if name == "pos_embed" or name.startswith("pos_embed_")}
    # the trunk lies deeper in the detector, under a name that is not known here; the parameters are the same objects
    wanted = {id(parameter) for name, parameter in trunk.named_parameters() if name in norms | positions}
    return {name for name, parameter in model.named_parameters() if id(parameter) in wanted}
