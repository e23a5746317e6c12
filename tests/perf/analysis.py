"""CKA of all pairs of layers against the loop over pairs, and what more images cost in memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from tests.perf.line import SpeedRatio

IMAGES, BATCH, LAYERS, TOKENS, WIDTH = 1000, 125, 13, 196, 192
Layers = list[Tensor]
FeaturePairs = Iterator[tuple[Layers, Layers]]


def run_suite() -> list[SpeedRatio]:
    """1,000 images, 13 x 13 representations of two ViT-Tiny: from features, and with the two networks running.

    The loop over pairs takes minutes: it is timed on one batch, and counted for all.
    """
    lines = []
    for what, batches in (("features at hand", iter_random_features), ("networks included", iter_network_features)):
        ours, other = (time_call(lambda: compare(batches(1))) for compare in (compute_batched, compute_by_pairs))  # noqa: B023
        assert torch.allclose(ours[1], other[1], atol=1e-6), "both must give the same numbers"
        ours = (
            time_call(lambda: compute_batched(iter_random_features(IMAGES // BATCH)))
            if batches is iter_random_features
            else ours
        )
        count = 1 if batches is iter_network_features else IMAGES // BATCH
        lines.append(
            SpeedRatio(
                f"13 x 13 CKA, {count * BATCH:,} images, {what} / loop over pairs", ours[0], count * other[0], "s"
            )
        )
    few, many = (measure_script_memory(count) for count in (200, 2000))
    lines.append(SpeedRatio("13 x 13 CKA, peak memory, 2,000 images / 200", many, few, "MiB"))
    return lines


def time_call(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Wall time, and what was computed."""
    began = time.perf_counter()
    value = work()
    return time.perf_counter() - began, value


def iter_random_features(count: int) -> FeaturePairs:
    """Features of two backbones in the shape of ViT-Tiny's, made anew for each batch (they would not fit at once)."""
    generator = torch.Generator().manual_seed(0)
    base = [torch.randn(BATCH, TOKENS, WIDTH, generator=generator) for _ in range(2)]
    for _ in range(count):
        first, second = (
            [one + 0.1 * number * base[1 - side] for number in range(LAYERS)] for side, one in enumerate(base)
        )
        yield first, second
        base = [one.roll(1, 0).roll(7, 1) for one in base]


def iter_network_features(count: int) -> FeaturePairs:
    """The papers' representations of two random ViT-Tiny; features of a batch are computed once and held."""
    from analysis.inputs.representations import read_layers
    from backbones.create import create_backbone

    torch.manual_seed(0)
    models = [create_backbone("vit_tiny", checkpoint="random", num_classes=0).model.eval() for _ in range(2)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        images = torch.randn(BATCH, 3, 224, 224, generator=generator)
        sides: tuple[Layers, Layers] = ([], [])
        for model, side in zip(models, sides, strict=True):
            read_layers(model, images, "papers", lambda _, value, side=side: side.append(value))  # type: ignore[misc]
        yield sides


def compute_batched(batches: FeaturePairs) -> Tensor:
    """As ``bench analyze cka`` does it."""
    from analysis.cka import CkaAccumulator, compute_centered_gram, stack_grams

    sums = CkaAccumulator()
    names = tuple(map(str, range(BATCH)))
    for first, second in batches:
        grams = [
            stack_grams(names, [(str(at), compute_centered_gram(one)) for at, one in enumerate(side)])
            for side in (first, second)
        ]
        sums.update(*grams)
    return torch.from_numpy(sums.compute())


def compute_by_pairs(batches: FeaturePairs) -> Tensor:
    """For each batch and each pair of layers the three HSICs, as the formula reads and the papers' code does."""
    sums = torch.zeros(3, LAYERS, LAYERS, dtype=torch.float64)
    for first, second in batches:
        for row, one in enumerate(first):
            for column, other in enumerate(second):
                x, y = one.flatten(1).double(), other.flatten(1).double()
                k, m = x @ x.T, y @ y.T
                sums[:, row, column] += torch.stack([unbiased_hsic(k, m), unbiased_hsic(k, k), unbiased_hsic(m, m)])
    return sums[0] / (sums[1] * sums[2]).sqrt()


def unbiased_hsic(one: Tensor, other: Tensor) -> Tensor:
    """The unbiased estimator by its formula."""
    n = len(one)
    k, m = (value - value.diag().diag() for value in (one, other))
    trace, sums = (k @ m).trace(), k.sum() * m.sum() / ((n - 1) * (n - 2))
    return (trace + sums - 2 / (n - 2) * (k @ m).sum()) / (n * (n - 3))


_MEMORY_SCRIPT = """
import torch
from analysis.cka import CkaAccumulator, compute_layer_grams
from analysis.inputs.image_subset import sample_images
from backbones.create import create_backbone
from engine.run_environment import get_peak_memory_mib
class Items:
    labels = [0] * 2000
    def __len__(self): return 2000
    def __getitem__(self, index):
        seeded = torch.Generator().manual_seed(index)
        return {"images": torch.randn(3, 64, 64, generator=seeded), "labels": 0, "item": index}
    def get_image_name(self, index): return str(index)
    def get_preprocessing(self): return {}
models = [create_backbone("vit_tiny", checkpoint="random", num_classes=0, img_size=64).model.eval() for _ in range(2)]
sums = CkaAccumulator()
for batch in sample_images(Items(), COUNT).iter_batches(100):
    sums.update(*(compute_layer_grams(model, batch, "papers", "cpu") for model in models))
assert sums.compute().shape == (13, 13)
print(get_peak_memory_mib("cpu"))
"""


def measure_script_memory(count: int) -> float:
    """Peak memory of a process that compares two ViT-Tiny at 64 px on so many images."""
    code = _MEMORY_SCRIPT.replace("COUNT", str(count))
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(done.stdout)
