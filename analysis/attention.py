"""Attention of a plain ViT: how far each head attends (mean attention distance) and how widely (entropy).

Source: arXiv 2205.14443; wangsr126/MAE-Lite: the logits of the patches alone, that is without the row and column of
prefix tokens, then softmax.
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
from analysis.output.figures import draw_depth_scatter, render_figure
from analysis.output.image_figures import denormalize_image, draw_attention_maps
from analysis.record import Analysis
from analysis.request import AttentionRequest, DistanceUnit
from analysis.store import StoredAnalysis
from backbones.architectures.rpe import RelPosAttention
from backbones.features import count_prefix_tokens, get_reductions, is_plain_backbone
from foundation.errors import BenchError, UserError

METHOD_VERSION = 1
BATCH_SIZE = 32
"""Images in one forward pass; it moves last digits only."""

ENTROPY_EPS = 1e-6
"""Inside the entropy's logarithm, as in the papers' code."""

PAPER_STEP_PX = 14.0
"""Pixels a grid step in the papers' code, although their patches have 16."""

_OTHER_ANALYSES = "cka, layers, data-scale, spectrum, neighbours and pca work with it"


def find_attention_modules(model: nn.Module) -> list[Attention]:
    """The attention module of each block, shallow to deep.

    Raises:
        UserError: attention that is not over all tokens, or not timm's; the message says which analyses work.
    """
    kind = type(model).__name__
    if not is_plain_backbone(model):
        raise UserError(
            f"{kind} is hierarchical: it has no attention over the whole image in every block, so there is no distance "
            f"or entropy that compares; {_OTHER_ANALYSES}"
        )
    found = [block.module.attn for block in find_blocks(model)]
    for module in found:
        if not isinstance(module, Attention):
            raise UserError(
                f"{kind} has attention of its own ({type(module).__name__}), whose logits are not read; "
                f"{_OTHER_ANALYSES}"
            )
    return found


def compute_attention_logits(module: Attention, tokens: Tensor) -> Tensor:
    """The scaled logits before softmax, a relative position bias included: (n, heads, T, T).

    Args:
        module: the attention.
        tokens: its input, (n, T, C).
    """
    query, key, _ = _project_qkv(module, tokens)
    logits: Tensor = (query * module.scale) @ key.transpose(-2, -1)
    return logits + module.compute_bias() if isinstance(module, RelPosAttention) else logits


def _project_qkv(module: Attention, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    count, length, _ = tokens.shape
    # One linear layer gives q, k and v of all heads: (n, T, 3 C) -> (3, n, heads, T, C / heads)
    heads = module.qkv(tokens).reshape(count, length, 3, module.num_heads, -1).permute(2, 0, 3, 1, 4)
    return module.q_norm(heads[0]), module.k_norm(heads[1]), heads[2]


def _attend_with_logits(module: Attention, tokens: Tensor, logits: Tensor) -> Tensor:
    """The module's output as it would follow from these logits: softmax over keys, values, projection."""
    mixed = logits.softmax(-1) @ _project_qkv(module, tokens)[2]
    mixed = mixed.transpose(1, 2).flatten(2)  # heads side by side again: (n, T, C)
    return module.proj(getattr(module, "norm", nn.Identity())(mixed))  # type: ignore[no-any-return]


def read_attention(
    model: nn.Module, images: Tensor, on_logits: Callable[[int, Tensor], None], check: bool = True
) -> Tensor:
    """Run the model as it is, fused attention and all, and hand each block's logits to ``on_logits``.

    Logits are computed a second time beside the model, from the input of each attention; its own output is not
    touched. With ``check`` the output that follows from the logits is compared with the module's own, so that attention
    with a gate, a mask or another scale is refused instead of being read wrongly.

    Args:
        model: a plain timm ViT in eval mode.
        images: (n, 3, S, S) on the model's device.
        on_logits: takes block number and logits (n, heads, T, T), prefix tokens first.
        check: compare; once for each backbone is enough.

    Returns:
        The model's output of ``forward_features``.

    Raises:
        UserError: attention that cannot be read.
        BenchError: attention that is read wrongly.
    """

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
    # Relative to the largest output: layers differ in scale by orders of magnitude
    worst = float((recomputed - output).abs().max() / output.abs().max().clamp_min(1e-12))
    if not worst <= 1e-2:  # TF32 on a GPU moves the third digit
        raise BenchError(
            f"the attention of block {block_index} of {model_name} is not softmax(q k / scale) v alone (its output is "
            f"off by {worst:.2g}), so its logits cannot be read; {_OTHER_ANALYSES}"
        )


def softmax_over_patches(logits: Tensor, num_prefix_tokens: int) -> Tensor:
    """Attention among patches, (n, heads, N, N): prefix rows and columns are dropped, then softmax."""
    # Cut before the softmax: a class token draws much attention, and cutting after it would leave rows that do not
    # sum to 1, whose distances would all be too short
    return logits[:, :, num_prefix_tokens:, num_prefix_tokens:].softmax(-1)


class PatchGrid(NamedTuple):
    """Height and width of a patch in pixels, and rows and columns of patches."""

    patch_size: tuple[int, int]
    grid_size: tuple[int, int]


def get_patch_grid(model: nn.Module, img_size: int) -> PatchGrid:
    """How a plain ViT cuts squares of ``img_size`` pixels; a rest is padded where the model does so."""
    embed = getattr(model, "patch_embed", None)
    step = get_reductions(model)[-1]
    height, width = embed.patch_size if isinstance(embed, PatchEmbed) else (step, step)
    return PatchGrid((int(height), int(width)), (-(-img_size // int(height)), -(-img_size // int(width))))


def compute_grid_distances(grid_size: tuple[int, int], spacing: tuple[float, float]) -> Tensor:
    """Euclidean distance of each two cells of a grid, (N, N), row by row.

    Args:
        grid_size: rows and columns.
        spacing: pixels from row to row and from column to column.

    >>> compute_grid_distances((1, 3), (16.0, 16.0))[0].tolist()
    [0.0, 16.0, 32.0]
    """
    rows, columns = torch.meshgrid(torch.arange(grid_size[0]), torch.arange(grid_size[1]), indexing="ij")
    places = torch.stack([rows.flatten() * spacing[0], columns.flatten() * spacing[1]], 1)
    # The matrix-product form of cdist cancels digits: the distance of a place from itself might not be 0
    return torch.cdist(places, places, compute_mode="donot_use_mm_for_euclid_dist")


def mean_attention_distance(attention: Tensor, distances: Tensor) -> Tensor:
    """Mean over queries of the distance that attention reaches, (n, heads), in the unit of ``distances`` (N, N)."""
    return torch.einsum("nhqk,qk->nhq", attention, distances.to(attention)).mean(-1)


def mean_attention_entropy(attention: Tensor) -> Tensor:
    """Mean over queries of the entropy of attention (n, heads, N, N), in nats: (n, heads)."""
    return -(attention * (attention + ENTROPY_EPS).log()).sum(-1).mean(-1)


class AttentionAccumulator:
    """Sums over images of distance and entropy by block and head; nothing else is kept, so memory does not grow.

    Args:
        distances: between patches (N, N), pixels.
        num_prefix_tokens: tokens before the patches.
    """

    def __init__(self, distances: Tensor, num_prefix_tokens: int) -> None:
        self.distances = distances
        self.num_prefix_tokens = num_prefix_tokens
        self._sums: dict[int, Tensor] = {}
        self._num_images: dict[int, int] = {}

    def update(self, block_index: int, logits: Tensor) -> None:
        """Add a block's logits (n, heads, T, T) of a batch.

        Raises:
            BenchError: other tokens than prefix and patches.
        """
        if logits.shape[-1] != self.num_prefix_tokens + len(self.distances):
            raise BenchError(
                f"block {block_index} has {logits.shape[-1]} tokens where {self.num_prefix_tokens} prefix and "
                f"{len(self.distances)} patch tokens were expected, so there are no distances between them"
            )
        attention = softmax_over_patches(logits.float(), self.num_prefix_tokens)
        both = torch.stack([mean_attention_distance(attention, self.distances), mean_attention_entropy(attention)])
        # Summed in float64, so that the number of batches moves nothing but last digits
        self._sums[block_index] = self._sums.get(block_index, 0) + both.double().sum(1).cpu()
        self._num_images[block_index] = self._num_images.get(block_index, 0) + len(logits)

    def compute(self) -> tuple[list[list[float]], list[list[float]]]:
        """Mean distance (pixels) and entropy (nats) by block and head.

        Raises:
            BenchError: attention that is not finite.
        """
        means = [self._sums[place] / self._num_images[place] for place in sorted(self._sums)]
        for place, mean in enumerate(means):
            if not bool(mean.isfinite().all()):
                raise BenchError(f"the attention of block {place} is not finite; check the start weights")
        return [mean[0].tolist() for mean in means], [mean[1].tolist() for mean in means]


def run_attention(request: AttentionRequest) -> StoredAnalysis:
    """Mean attention distance and entropy of every head of a backbone, and maps of some images.

    Raises:
        UserError: more pictures than images, or something else that is wrong with the request.
    """
    inputs = resolve_image_inputs(request)
    if request.num_pictures > inputs.image_source.images:
        raise UserError(
            f"--pictures {request.num_pictures} are more than the {inputs.image_source.images} images looked at"
        )
    settings = {"distance": request.distance_unit, "pictures": request.num_pictures}
    return answer_question(
        request, inputs.make_question(METHOD_VERSION, settings), lambda: _compute_attention(request, inputs)
    )


def _compute_attention(request: AttentionRequest, inputs: AnalysisInputs) -> AnalysisOutput:
    backbone = inputs.backbones[0]
    model = backbone.build_model(inputs.device)
    find_attention_modules(model)  # refuse before anything is computed
    patch, grid = get_patch_grid(model, backbone.img_size)
    use_paper_step = request.distance_unit == "papers"
    spacing = (PAPER_STEP_PX, PAPER_STEP_PX) if use_paper_step else (float(patch[0]), float(patch[1]))
    distances = compute_grid_distances(grid, spacing)
    sums = AttentionAccumulator(distances.to(inputs.device), count_prefix_tokens(model))
    check = True
    for batch in inputs.subsets[0].iter_batches(BATCH_SIZE, f"attention {backbone.card.name}"):
        read_attention(model, batch.images.to(inputs.device), sums.update, check)
        check = False  # once is enough: the module does not change
    distance, entropy = sums.compute()
    # What a head that attends everywhere alike would have, the dashed line: untrained networks are close to it
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
    """Table and figure of every head's distance and entropy."""
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
    return "14 px a grid step, as in the papers" if distance_unit == "papers" else f"{patch_size[0]} px a grid step"


def _render_attention_maps(
    inputs: AnalysisInputs, model: nn.Module, grid_size: tuple[int, int], num_pictures: int
) -> dict[str, bytes]:
    """Attention of the class token to the patches, or where there is none, what each patch gets on average."""
    subset, backbone = inputs.subsets[0], inputs.backbones[0]
    num_prefix_tokens = count_prefix_tokens(model)
    has_class_token = bool(num_prefix_tokens and getattr(model, "has_class_token", True))
    source = "class token to patches" if has_class_token else "mean over queries"
    files: dict[str, bytes] = {}
    for place in range(num_pictures):
        index = subset.indices[place]
        image = torch.as_tensor(subset.dataset[index]["images"])
        maps: list[NDArray[np.float32]] = []

        # Here the softmax is over all tokens, prefix included: a picture shows what the model computes
        def add_map(_block: int, logits: Tensor, maps: list[NDArray[np.float32]] = maps) -> None:
            weights = logits[0].float().softmax(-1)
            row = weights[:, 0, num_prefix_tokens:] if has_class_token else weights[:, :, num_prefix_tokens:].mean(1)
            maps.append(np.asarray(row.reshape(-1, *grid_size).cpu().numpy()))

        read_attention(model, image[None].to(inputs.device), add_map, check=False)
        pixels = denormalize_image(image, backbone.card.mean, backbone.card.std)
        name = Path(subset.dataset.get_image_name(index)).name
        figure = draw_attention_maps(pixels, np.stack(maps), f"{backbone.label}\n{name}, {source}")
        files |= render_figure(figure, f"map_{place}", ["png"])
    return files


def summarize_analysis(analysis: Analysis) -> list[str]:
    """What came out, in lines."""
    numbers = analysis.numbers
    uniform = numbers["uniform"]
    lines = ["block  distance px (heads: least to most)  entropy nats"]
    for block, (far, wide) in enumerate(zip(numbers["distance"], numbers["entropy"], strict=True)):
        lines.append(
            f"{block:5}  {np.mean(far):7.1f} ({min(far):.1f} to {max(far):.1f})".ljust(41) + f"  {np.mean(wide):.2f}"
        )
    lines.append(f"uniform attention: {uniform['distance']:.1f} px, {uniform['entropy']:.2f} nats")
    return lines
