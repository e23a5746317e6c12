"""Write the tracker of a run as a checkpoint that OSTrack's code loads; ``tracking.ostrack_checkpoint`` reads it back.

The network of OSTrack (botaoye/OSTrack at 33b5e125, lib/models/ostrack and lib/models/layers/head.py) is loaded
strictly, so the file has exactly its tensors: also the class token and the position embedding of 224 px, which are not
used. The settings beside them are plain data, so that ``torch.load`` reads the file without executing code.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from foundation.errors import UserError
from foundation.files import atomic_writer, ensure_writable_dir
from tracking.inference.run_files import load_recipe, load_torch_factory, read_finished_run
from tracking.models.candidate_elimination import CandidateElimination
from tracking.models.tracker_model import TrackerModel
from tracking.ostrack_checkpoint import OSTRACK_MEAN, OSTRACK_STD, convert_tensor_name
from tracking.recipe import TrackingRecipe

POSITIONS_AT_224 = 14 * 14 + 1
"""Number of position embeddings, class token included, of OSTrack's ViT before it is made for two crops."""

_TOWERS = {"score": "ctr", "offset": "offset", "size": "size"}
_HEAD_PATTERN = re.compile(r"head\.(score|offset|size)\.(\d+)\.(.+)$")
_BLOCK_PATTERN = re.compile(
    r"blocks\.\d+\.(norm1|norm2|attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)\.(weight|bias)$|"
    r"patch_embed\.proj\.(weight|bias)$|(norm|fc_norm)\.(weight|bias)$"
)
"""The tensors of a ViT that OSTrack's code has, too."""
_UNUSED_PATTERN = re.compile(r"(cls_token|dist_token|reg_token|pos_embed)$|(head|head_dist)\.")
"""The tensors of a ViT that the joint sequence does not use."""


def export_ostrack(run_dir: Path, out: Path | None = None) -> Path:
    """Write the tracker of a finished run as ``OSTrack_ep<epochs>.pth.tar``, as OSTrack's code names its files.

    Args:
        run_dir: folder of the run.
        out: folder to write to; it is created if necessary. By default the folder ``export/ostrack`` of the run.

    Returns:
        The file.

    Raises:
        UserError: the folder holds no finished tracking run, or OSTrack's code would compute something else.
    """
    record, recipe = read_finished_run(run_dir), load_recipe(run_dir)
    factory = load_torch_factory(run_dir)
    model = factory.load_model()
    _require_ostrack_network(model, recipe, record.backbone.name)
    # a run whose length is counted in iterations has no epochs; OSTrack only needs a number in the name
    folder = out or run_dir / "export" / "ostrack"
    ensure_writable_dir(folder)
    path = folder / f"OSTrack_ep{recipe.epochs or 0:04d}.pth.tar"
    content = {
        "epoch": recipe.epochs or 0,
        "actor_type": "OSTrackActor",
        "net_type": "OSTrack",
        "net": list_ostrack_tensors(model),
        "net_info": None,
        "constructor": None,
        "settings": _make_settings(recipe, record.backbone.name),
        # the shapes do not show the number of heads; bench reads it here, OSTrack's code has it in its ViT
        "args": {"num_heads": model.backbone.vit.blocks[0].attn.num_heads},
    }
    # no optimizer and no statistics of the training: they would only be needed to train on
    with atomic_writer(path) as file:
        torch.save(content, file)
    return path


def list_ostrack_tensors(model: TrackerModel) -> OrderedDict[str, Tensor]:
    """Return the tensors of a network under the names of OSTrack's code: all that its network has, and no others.

    Args:
        model: the network, which OSTrack's code can compute.
    """
    width = model.backbone.embed_dim
    trunk: dict[str, Tensor] = {
        "backbone.cls_token": torch.zeros(1, 1, width),  # of a backbone without one
        "backbone.pos_embed": _resample_positions(model.backbone.vit),
    }
    rest: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        theirs = find_ostrack_name(name)
        # counts of the training, and what the joint sequence does not use
        if theirs is None:
            continue
        target = trunk if theirs.startswith("backbone.") else rest
        target[theirs] = value.detach().cpu().clone()
    return OrderedDict({**trunk, **rest})


def _resample_positions(vit: Any) -> Tensor:
    """Return a ViT's own position embedding for 224 px, shape (1, 197, channels).

    Tracking does not use it, but a training that starts from the file does.
    """
    own = vit.pos_embed.detach().cpu()
    prefix = 0 if vit.no_embed_class else vit.num_prefix_tokens
    # the first row is the class token's, where the embedding has one
    first = own[:, :1] if prefix else torch.zeros(1, 1, own.shape[-1])
    side = math.isqrt(POSITIONS_AT_224)
    patches = resample_abs_pos_embed(own[:, prefix:], [side, side], num_prefix_tokens=0)
    return torch.cat([first, patches], 1).clone()


def find_ostrack_name(own_name: str) -> str | None:
    """Return the name that a tensor of our network has in OSTrack's; ``None`` if it has no such tensor.

    It is the inverse of ``convert_tensor_name``.

    Args:
        own_name: name in our state dict.

    Example:
        >>> names = ("backbone.template_positions", "head.score.4.bias", "head.size.12.weight", "skipped")
        >>> [find_ostrack_name(name) for name in names]
        ['backbone.pos_embed_z', 'box_head.conv2_ctr.1.bias', 'box_head.conv5_size.weight', None]
    """
    positions = {"backbone.template_positions": "pos_embed_z", "backbone.search_positions": "pos_embed_x"}
    if own_name in positions:
        return f"backbone.{positions[own_name]}"
    if found := _HEAD_PATTERN.match(own_name):
        tower, place, rest = _TOWERS[found[1]], int(found[2]), found[3]
        # three modules per layer (convolution, norm, ReLU), of which OSTrack numbers the first two
        layer = f"{place // 3 + 1}_{tower}"
        return f"box_head.conv{layer}.{rest}" if place == 12 else f"box_head.conv{layer}.{place % 3}.{rest}"
    bare = own_name.removeprefix("backbone.vit.")
    if bare == own_name:
        return None
    if bare == "cls_token":
        return "backbone.cls_token"
    if not _BLOCK_PATTERN.match(bare):
        return None
    theirs = f"backbone.{bare.replace('fc_norm.', 'norm.')}"
    assert convert_tensor_name(theirs).replace(".norm.", ".fc_norm.") in (
        own_name,
        own_name.replace(".norm.", ".fc_norm."),
    )
    return theirs


def _require_ostrack_network(model: TrackerModel, recipe: TrackingRecipe, backbone: str) -> None:
    """Check that OSTrack's code computes the same boxes with these weights.

    Raises:
        UserError: it would not; the message says why.
    """
    faults = []
    if recipe.asymmetric_attention:
        faults.append("its template attends only to itself (asymmetric_attention)")
    if recipe.geometry != "ostrack":
        faults.append(f"its crops are cut otherwise (geometry={recipe.geometry})")
    # the file has no place for another one: OSTrack's code takes it from its experiment
    published = CandidateElimination()
    if recipe.use_ce and (recipe.ce.blocks, recipe.ce.keep_ratio) != (published.blocks, published.keep_ratio):
        faults.append("its candidate elimination is not that of the published experiments")
    for name, ours, theirs in (("mean", model.mean, OSTRACK_MEAN), ("std", model.std, OSTRACK_STD)):
        if not torch.equal(ours.flatten().cpu(), torch.tensor(theirs)):
            faults.append(f"its pixels are normalized with another {name}")
    faults += _list_trunk_faults(model.backbone.vit)
    if faults:
        raise UserError(
            f"OSTrack's code cannot track with {backbone} of this run: {'; '.join(faults)}; export it for another "
            "runtime (--format onnx)"
        )


def _list_trunk_faults(vit: Any) -> list[str]:
    """Return what OSTrack's ViT does not have, one phrase each."""
    if type(vit) is not VisionTransformer:
        return [f"its backbone is a {type(vit).__name__}, and OSTrack has timm's plain ViT"]
    state = vit.state_dict()
    extra = [name for name in state if not _BLOCK_PATTERN.match(name) and not _UNUSED_PATTERN.match(name)]
    faults = [f"its backbone has parts that OSTrack's ViT lacks ({extra[0]} ...)"] if extra else []
    if "blocks.0.attn.qkv.bias" not in state:
        faults.append("its attention has no bias")
    # what no tensor shows
    epsilons = {module.eps for module in vit.modules() if isinstance(module, nn.LayerNorm)}
    if epsilons != {1e-6}:
        faults.append("its norms have another epsilon")
    if any(not isinstance(block.mlp.act, nn.GELU) for block in vit.blocks):
        faults.append("its blocks have another activation than GELU")
    return faults


def _make_settings(recipe: TrackingRecipe, backbone: str) -> dict[str, Any]:
    """Return the settings in the names of OSTrack's trainer, as plain data."""
    words = [f"vit_{recipe.search_size:03d}", *(["ce"] if recipe.use_ce else []), re.sub(r"\W+|_", "-", backbone)]
    return {
        "script_name": "ostrack",
        # only the word ce in this name says whether search tokens are eliminated
        "config_name": f"{'_'.join(words)}_ep{recipe.epochs or 0}",
        "output_sz": {"template": recipe.template_size, "search": recipe.search_size},
        "search_area_factor": {"template": recipe.template_factor, "search": recipe.search_factor},
    }
