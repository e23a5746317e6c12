"""Measure attention in a plain ViT: how far each head attends (mean attention distance) and how widely (entropy).

Source: arXiv 2205.14443; wangsr126/MAE-Lite: only the logits between patches, without the rows and columns of prefix
tokens, then softmax.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from timm.layers import Attention, PatchEmbed
from torch import Tensor, nn

from analysis.answer import AnalysisOutput, answer_question
from analysis.inputs.image_inputs import AnalysisInputs, resolve_image_inputs
from analysis.inputs.representations import find_blocks, hook_outputs
from analysis.output.csv_tables import encode_csv
from analysis.output.figures import draw_depth_scatter, render_figure, render_photo_sheet
from analysis.output.image_figures import denormalize_image, draw_attention_maps
from analysis.record import Analysis
from analysis.request import AttentionRequest, DistanceUnit
from analysis.store import StoredAnalysis
from backbones.architectures.rpe import RelPosAttention
from backbones.features import count_prefix_tokens, get_reductions, is_plain_backbone
from engine.device import convert_to_float64
from foundation.errors import BenchError, UserError

METHOD_VERSION = 1
BATCH_SIZE = 32
"""Images per forward pass; another value changes results only by rounding."""

ENTROPY_EPS = 1e-6
"""Added inside the logarithm of the entropy, as in the papers' code."""

PAPER_STEP_PX = 14.0
"""Pixels per grid step in the papers' code, although its patches have 16 pixels."""

_OTHER_ANALYSES = "cka, layers, data-scale, spectrum, neighbours and pca work with it"


def find_attention_modules(model: nn.Module) -> list[Attention]:
    """Return the attention module of each block, shallow to deep.

    Raises:
        UserError: the attention does not cover all tokens, or is not timm's; the message names the other analyses.
    """
    kind = type(model).__name__
    if not is_plain_backbone(model):
        raise UserError(
            f"{kind} is hierarchical: not every block attends over the entire image, so distances and entropies cannot "
            f"be compared; {_OTHER_ANALYSES}"
        )
    found = [block.module.attn for block in find_blocks(model)]
    for module in found:
        if not isinstance(module, Attention):
            raise UserError(
                f"{kind} uses its own attention class ({type(module).__name__}), whose logits cannot be read; "
                f"{_OTHER_ANALYSES}"
            )
    return found


def compute_attention_logits(module: Attention, tokens: Tensor) -> Tensor:
    """Compute the scaled logits before softmax, including a relative position bias.

    Args:
        module: the attention module.
        tokens: its input (images, tokens, channels).

    Returns:
        Logits (images, heads, tokens, tokens): queries, then keys.
    """
    # scaled before the product, in the order of timm's forward, so that rounding is the same
    query, key, _ = _project_qkv(module, tokens)
    logits: Tensor = (query * module.scale) @ key.transpose(-2, -1)
    return logits + module.compute_bias() if isinstance(module, RelPosAttention) else logits


def _project_qkv(module: Attention, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count, length, _ = tokens.shape
    # One linear layer computes q, k and v of all heads: (n, T, 3 C) -> (3, n, heads, T, C / heads)
    heads = module.qkv(tokens).reshape(count, length, 3, module.num_heads, -1).permute(2, 0, 3, 1, 4)
    return module.q_norm(heads[0]), module.k_norm(heads[1]), heads[2]


def _attend_with_logits(module: Attention, tokens: Tensor, logits: Tensor) -> Tensor:
    """Compute the output of the module from given logits: softmax over keys, weighted values, projection."""
    mixed = logits.softmax(-1) @ _project_qkv(module, tokens)[2]
    mixed = mixed.transpose(1, 2).flatten(2)  # concatenate the heads again: (n, T, C)
    # some timm models normalize before the projection; older timm versions do not have the attribute
    return module.proj(getattr(module, "norm", nn.Identity())(mixed))  # type: ignore[no-any-return]


def read_attention(
    model: nn.Module, images: Tensor, on_logits: Callable[[int, Tensor], None], check: bool = True
) -> Tensor:
    """Run the model unchanged, including fused attention, and pass the logits of each block to ``on_logits``.

    The logits are computed a second time from the input of each attention module; the output of the model does not
    change. With ``check`` the output that follows from the logits is compared with the output of the module, so that
    attention with a gate, a mask or another scale is refused instead of being read wrongly.

    Args:
        model: a plain timm ViT in eval mode.
        images: images (n, 3, S, S) on the device of the model.
        on_logits: takes the block index and the logits (n, heads, T, T), prefix tokens first.
        check: compare the outputs; once per backbone is enough.

    Returns:
        The output of ``forward_features``.

    Raises:
        UserError: the attention cannot be read.
        BenchError: the recomputed output differs from that of the module.
    """

    # fused attention never stores its logits, so they are recomputed from the input that a hook sees
    def make_hook(place: int) -> Callable[[Attention, tuple[Tensor], Tensor], None]:
        def read(module: Attention, inputs: tuple[Tensor], output: Tensor) -> None:
            logits = compute_attention_logits(module, inputs[0])
            if check:
                _require_same_output(
                    _attend_with_logits(module, inputs[0], logits), output, place, type(model).__name__
                )
            on_logits(place, logits)

        return read

    forward: Any = model.forward_features
    with hook_outputs(find_attention_modules(model), make_hook), torch.inference_mode():
        result: Tensor = forward(images)
    return result


def _require_same_output(recomputed: Tensor, output: Tensor, block_index: int, model_name: str) -> None:
    # Relative to the largest output, because layers differ in scale by orders of magnitude
    worst = float((recomputed - output).abs().max() / output.abs().max().clamp_min(1e-12))
    # TF32 on a GPU changes the third digit; "not <=" instead of ">" also refuses NaN
    if not worst <= 1e-2:
        raise BenchError(
            f"the attention of block {block_index} of {model_name} is not softmax(q k / scale) v only (the recomputed "
            f"output differs by {worst:.2g} of its largest value), so its logits cannot be read; {_OTHER_ANALYSES}"
        )


def softmax_over_patches(logits: Tensor, num_prefix_tokens: int) -> Tensor:
    """Return the attention among patches (n, heads, N, N): drop the rows and columns of prefix tokens, then softmax.

    Args:
        logits: logits (n, heads, T, T), prefix tokens first.
        num_prefix_tokens: number of class and register tokens, T - N.
    """
    # Dropped before the softmax: a class token gets much attention, so dropping it afterwards would leave rows that
    # sum to less than 1, and their distances would be too short
    return logits[:, :, num_prefix_tokens:, num_prefix_tokens:].softmax(-1)


class PatchGrid(NamedTuple):
    """Height and width of a patch in pixels, and number of rows and columns of patches."""

    patch_size: tuple[int, int]
    grid_size: tuple[int, int]


def get_patch_grid(model: nn.Module, img_size: int) -> PatchGrid:
    """Return the patch grid of a plain ViT for square images of ``img_size`` pixels."""
    # models without timm's PatchEmbed (a convolutional stem) have one token per step of their last reduction
    embed = getattr(model, "patch_embed", None)
    step = get_reductions(model)[-1]
    height, width = embed.patch_size if isinstance(embed, PatchEmbed) else (step, step)
    # -(-a // b) rounds up: a model that accepts other sizes pads the incomplete last patch
    return PatchGrid((int(height), int(width)), (-(-img_size // int(height)), -(-img_size // int(width))))


def compute_grid_distances(grid_size: tuple[int, int], spacing: tuple[float, float]) -> Tensor:
    """Compute the Euclidean distance between every two cells of a grid, in pixels (N, N); cells count row by row.

    Args:
        grid_size: number of rows and columns.
        spacing: distance between neighboring rows and between neighboring columns, pixels.

    >>> compute_grid_distances((1, 3), (16.0, 16.0))[0].tolist()
    [0.0, 16.0, 32.0]
    """
    rows, columns = torch.meshgrid(torch.arange(grid_size[0]), torch.arange(grid_size[1]), indexing="ij")
    places = torch.stack([rows.flatten() * spacing[0], columns.flatten() * spacing[1]], 1)
    # The matrix-product mode of cdist loses digits by cancellation: the distance of a cell to itself might not be 0
    return torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")


def mean_attention_distance(attention: Tensor, distances: Tensor) -> Tensor:
    """Compute the mean attention distance of each head: the expected distance of a key, averaged over queries.

    Args:
        attention: attention among patches (n, heads, N, N).
        distances: distances between patches (N, N).

    Returns:
        Distances (n, heads), in the unit of ``distances``.
    """
    # sum_k attention_qk distance_qk for each query q, then the mean over queries
    return torch.einsum("nhqk,qk->nhq", attention, distances.to(attention)).mean(-1)


def mean_attention_entropy(attention: Tensor) -> Tensor:
    """Compute the entropy of attention (n, heads, N, N) in nats, averaged over queries: (n, heads)."""
    return -(attention * (attention + ENTROPY_EPS).log()).sum(-1).mean(-1)


class AttentionAccumulator:
    """Accumulate distance and entropy by block and head over images; memory does not grow with their number.

    Args:
        distances: distances between patches (N, N), pixels.
        num_prefix_tokens: number of tokens before the patches.
    """

    def __init__(self, distances: Tensor, num_prefix_tokens: int) -> None:
        self.distances = distances
        self.num_prefix_tokens = num_prefix_tokens
        self._sums: dict[int, Tensor] = {}
        self._num_images: dict[int, int] = {}

    def update(self, block_index: int, logits: Tensor) -> None:
        """Add the logits (n, heads, T, T) of one block for a batch.

        Raises:
            BenchError: the number of tokens T is not the number of prefix and patch tokens.
        """
        if logits.shape[-1] != self.num_prefix_tokens + len(self.distances):
            raise BenchError(
                f"block {block_index} has {logits.shape[-1]} tokens where {self.num_prefix_tokens} prefix and "
                f"{len(self.distances)} patch tokens were expected, so there are no distances between them"
            )
        attention = softmax_over_patches(logits.float(), self.num_prefix_tokens)
        both = torch.stack([mean_attention_distance(attention, self.distances), mean_attention_entropy(attention)])
        # Summed in float64, so that the batch size changes results only by rounding
        self._sums[block_index] = self._sums.get(block_index, 0) + convert_to_float64(both).sum(1).cpu()
        self._num_images[block_index] = self._num_images.get(block_index, 0) + len(logits)

    def compute(self) -> tuple[list[list[float]], list[list[float]]]:
        """Return the mean distance (pixels) and entropy (nats), each by block and head.

        Raises:
            BenchError: the attention of a block is not finite.
        """
        means = [self._sums[place] / self._num_images[place] for place in sorted(self._sums)]
        for place, mean in enumerate(means):
            if not bool(mean.isfinite().all()):
                raise BenchError(f"the attention of block {place} is not finite; check the start weights")
        return [mean[0].tolist() for mean in means], [mean[1].tolist() for mean in means]


def run_attention(request: AttentionRequest) -> StoredAnalysis:
    """Compute the mean attention distance and entropy of every head, and draw attention maps of some images.

    Raises:
        UserError: there are fewer images than pictures to draw, or the request is wrong elsewhere.
    """
    inputs = resolve_image_inputs(request)
    if request.num_pictures > inputs.image_source.images:
        raise UserError(
            f"--pictures {request.num_pictures} is more than the {inputs.image_source.images} analyzed images; "
            "lower --pictures or raise --images"
        )
    settings = {"distance": request.distance_unit, "pictures": request.num_pictures}
    return answer_question(
        request, inputs.make_question(METHOD_VERSION, settings), lambda: _compute_attention(request, inputs)
    )


def _compute_attention(request: AttentionRequest, inputs: AnalysisInputs) -> AnalysisOutput:
    backbone = inputs.backbones[0]
    model = backbone.build_model(inputs.device)
    find_attention_modules(model)  # refuses models whose attention cannot be read before anything is computed
    patch, grid = get_patch_grid(model, backbone.img_size)
    use_paper_step = request.distance_unit == "papers"
    spacing = (PAPER_STEP_PX, PAPER_STEP_PX) if use_paper_step else (float(patch[0]), float(patch[1]))
    distances = compute_grid_distances(grid, spacing)
    sums = AttentionAccumulator(distances.to(inputs.device), count_prefix_tokens(model))
    check = True
    for batch in inputs.subsets[0].iter_batches(BATCH_SIZE, f"attention {backbone.card.name}"):
        read_attention(model, batch.images.to(inputs.device), sums.update, check)
        check = False  # once is enough, because the modules do not change
    distance, entropy = sums.compute()
    # The dashed line: values of a head that attends to all N patches equally, where the entropy is log N. Heads of
    # untrained networks are close to it.
    uniform = {"distance": float(distances.mean()), "entropy": math.log(math.prod(grid))}
    numbers = {
        "distance": distance,
        "entropy": entropy,
        "pixels_a_step": list(spacing),
        "grid": list(grid),
        "uniform": uniform,
    }
    title = f"{backbone.label}, {inputs.caption}\n{_describe_distance_unit(request.distance_unit, patch)}"
    return AnalysisOutput(
        numbers, {**_draw_heads(numbers, title), **_render_attention_maps(inputs, model, grid, request.num_pictures)}
    )


def _draw_heads(numbers: dict[str, Any], title: str) -> dict[str, bytes]:
    """Write the table and draw the figure of the distance and entropy of every head."""
    distance, entropy, uniform = numbers["distance"], numbers["entropy"], numbers["uniform"]
    rows = [
        (block, head, distance[block][head], entropy[block][head])
        for block in range(len(distance))
        for head in range(len(distance[block]))
    ]
    table = encode_csv(("block", "head", "distance_px", "entropy_nats"), rows)
    labels = ("mean attention distance, px", "entropy of attention, nats")
    levels = {
        labels[0]: (uniform["distance"], "uniform attention"),
        labels[1]: (uniform["entropy"], "uniform attention"),
    }
    figure = draw_depth_scatter({labels[0]: distance, labels[1]: entropy}, title, levels)
    return {"attention.csv": table, **render_figure(figure, "attention")}


def _describe_distance_unit(distance_unit: DistanceUnit, patch_size: tuple[int, int]) -> str:
    step = "14 px per grid step, as in the papers"
    return step if distance_unit == "papers" else f"{patch_size[0]} px per grid step"


def _render_attention_maps(
    inputs: AnalysisInputs, model: nn.Module, grid_size: tuple[int, int], num_pictures: int
) -> dict[str, bytes]:
    """Draw the attention of the class token to the patches, or without a class token the mean over all queries."""
    subset, backbone = inputs.subsets[0], inputs.backbones[0]
    num_prefix_tokens = count_prefix_tokens(model)
    has_class_token = bool(num_prefix_tokens and getattr(model, "has_class_token", True))
    source = "attention of the class token" if has_class_token else "attention of all tokens, averaged"
    files: dict[str, bytes] = {}
    for place in range(num_pictures):
        index = subset.indices[place]
        image = torch.as_tensor(subset.dataset[index]["images"])
        maps: list[NDArray[np.float32]] = []

        # Here the softmax covers all tokens including the prefix, because a map displays what the model computes
        def add_map(_block: int, logits: Tensor, maps: list[NDArray[np.float32]] = maps) -> None:
            weights = logits[0].float().softmax(-1)
            row = weights[:, 0, num_prefix_tokens:] if has_class_token else weights[:, :, num_prefix_tokens:].mean(1)
            maps.append(np.asarray(row.reshape(-1, *grid_size).cpu().numpy()))

        read_attention(model, image[None].to(inputs.device), add_map, check=False)
        pixels = denormalize_image(image, backbone.card.mean, backbone.card.std)
        name = Path(subset.dataset.get_image_name(index)).name
        figure = draw_attention_maps(pixels, np.stack(maps), f"{backbone.label}\n{name}, {source}")
        files |= render_photo_sheet(figure, f"map_{place}")
    return files


def summarize_analysis(analysis: Analysis) -> list[str]:
    """Return the main results as lines of text."""
    numbers = analysis.numbers
    uniform = numbers["uniform"]
    lines = ["block  distance px (heads: least to most)  entropy nats"]
    for block, (far, wide) in enumerate(zip(numbers["distance"], numbers["entropy"], strict=True)):
        lines.append(
            f"{block:5}  {np.mean(far):7.1f} ({min(far):.1f} to {max(far):.1f})".ljust(41) + f"  {np.mean(wide):.2f}"
        )
    lines.append(f"uniform attention: {uniform['distance']:.1f} px, {uniform['entropy']:.2f} nats")
    return lines
