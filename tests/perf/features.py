"""Frozen features from JPEG files against a plain loop over timm's model and transform; the features are compared."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from timm.data import create_transform
from torch.utils.data import DataLoader

from backbones.fused_linear import fuse_linears
from backbones.registry import get_card
from classification.data.dataset_splits import ImageSplit
from classification.data.image_collections import ImageFiles
from classification.data.image_dataset import ImageDataset
from classification.probes.feature_extraction import FrozenBackbone
from classification.probes.feature_network import make_runtime_network
from classification.recipe import FrozenRecipe
from deployment.openvino import get_core
from tests.perf.line import SpeedRatio

IMAGES, ROUNDS, BATCH, PLAIN_BATCH = 128, 5, 32, 64
WIDTH, HEIGHT = 500, 375
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run_suite() -> list[SpeedRatio]:
    """Milliseconds per image, rounds in turn: the shortest and the median of each."""
    with tempfile.TemporaryDirectory() as folder:
        names = _write_images(Path(folder))
        loops = {"plain": _make_plain_loop(Path(folder), names), "PyTorch": _make_own_loop(Path(folder), names)}
        for precision in _list_precisions():
            loops[f"OpenVINO {precision}"] = _make_own_loop(
                Path(folder), names, runtime="openvino", precision=precision
            )
        found = {name: loop() for name, loop in loops.items()}
        for name, features in found.items():
            gap = np.abs(features - found["plain"]).max() / np.abs(found["plain"]).max()
            if gap > (0.1 if name.endswith("bf16") else 1e-5):
                raise AssertionError(f"{name}: the features differ by {gap:.1e} of the largest")
        times: dict[str, list[float]] = {name: [] for name in loops}
        for _ in range(ROUNDS):
            for name, loop in loops.items():
                began = time.perf_counter()
                loop()
                times[name].append(1000 * (time.perf_counter() - began) / IMAGES)
    what = "frozen features, DeiT-Tiny 224 px, from JPEG / plain timm loop"
    return [
        SpeedRatio(f"{what}, {name}, {kind}", choose(times[name]), choose(times["plain"]), "ms/image")
        for name in loops
        if name != "plain"
        for kind, choose in (("shortest", min), ("median", statistics.median))
    ]


def _list_precisions() -> list[str]:
    """The precisions that OpenVINO has here."""
    has_bf16 = "BF16" in get_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["f32", "bf16"] if has_bf16 else ["f32"]


def _write_images(folder: Path) -> list[str]:
    random = np.random.default_rng(0)
    for number in range(IMAGES):
        # coarse noise, enlarged: about as many bytes as a photograph of this size
        small = random.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
        Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(folder / f"{number}.jpg")
    return [f"{number}.jpg" for number in range(IMAGES)]


def _make_model() -> Any:
    torch.manual_seed(0)
    return timm.create_model("deit_tiny_patch16_224", num_classes=0).eval().requires_grad_(False)


def _make_own_loop(folder: Path, names: list[str], **settings: Any) -> Callable[[], NDArray[np.float32]]:
    recipe = FrozenRecipe(img_size=224, crop_pct=0.9, pool="token", batch_size=BATCH, **settings)
    items = ImageDataset(ImageSplit(ImageFiles(folder, names), range(IMAGES), [0] * IMAGES), recipe, MEAN, STD)
    model = _make_model()
    network = None
    if recipe.runtime == "torch":
        fuse_linears(model)
    else:
        network = make_runtime_network(model, recipe, get_card("deit_tiny"))
    created: Any = SimpleNamespace(model=model)
    frozen = FrozenBackbone(created, recipe, {"test": items}, 0, 1.0, "", "cpu", {}, "", network=network)
    return lambda: np.concatenate([values for values, _ in frozen.compute_batches("test", None, 0, 1)])


def _make_plain_loop(folder: Path, names: list[str]) -> Callable[[], NDArray[np.float32]]:
    model = _make_model()
    transform = create_transform(224, mean=MEAN, std=STD, interpolation="bicubic", crop_pct=0.9)

    class Images(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return IMAGES

        def __getitem__(self, index: int) -> Any:
            return transform(Image.open(folder / names[index]).convert("RGB"))

    def loop() -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.concatenate([model(part).numpy() for part in DataLoader(Images(), PLAIN_BATCH)])

    return loop
