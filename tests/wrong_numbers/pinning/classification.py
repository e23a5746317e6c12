"""What is pinned of the classification protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from backbones.create import create_backbone
from backbones.registry import get_card
from classification.data.dataset_splits import ImageSplit, RawDataset, RawSplit, prepare_dataset
from classification.data.image_collections import ImageArrays
from classification.data.image_dataset import ImageDataset
from classification.data.subset_sampling import sample_class_fraction, sample_k_shot
from classification.digits_task import DIGITS
from classification.image_tasks import IMAGE_TASKS
from classification.metrics import ScoredItem, compute_accuracies, rank_true_class
from classification.plan import get_recipe_type
from classification.probes.feature_extraction import FrozenBackbone
from classification.probes.layerwise_probe import LayerwiseFrozenBackbone, probe_layers
from classification.protocols import FROZEN_PROTOCOLS
from classification.recipe import FrozenRecipe, KnnRecipe, LinearRecipe
from classification.teacher_settings import DISTILL_PROTOCOL, format_teacher_settings
from engine.config import load_protocol
from engine.data.decode import open_rgb
from engine.data.digits import DigitsDataset, load_digits_data
from engine.seeding import seed_all
from engine.task import Task
from results.records.identity import compute_digest
from tests.wrong_numbers.pinning.datasets import write_image_set
from tests.wrong_numbers.pinning.first_steps import FirstSteps, run_first_steps
from tests.wrong_numbers.pinning.inputs import (
    HALF,
    TOKEN_CARD,
    describe_pixels,
    find_jpeg,
    get_work_folder,
    make_features,
    make_photo,
)
from tests.wrong_numbers.pinning.recipes import (
    describe_settings,
    list_config_files,
    state_learning_rate,
    trace_learning_rates,
)

FILES = list_config_files("classification")
SPLIT_COUNTS = {"train": 60, "val": 32, "test": 16}


@dataclass(frozen=True)
class PinnedProtocol:
    """A config file with the task and the protocol that use it."""

    task: Task
    protocol: str
    recipe_type: Any
    file: Path


def find_protocol(name: str) -> PinnedProtocol:
    """Return what a config file belongs to; ``images_...`` files serve all sets that have no file of their own."""
    prefix, _, protocol = name.partition("_")
    if prefix == "images":
        prefix = "imagefolder" if protocol in IMAGE_TASKS["imagefolder"].protocols else "cifar10"
    task: Task = DIGITS if prefix == "digits" else IMAGE_TASKS[prefix]
    return PinnedProtocol(task, protocol, get_recipe_type(protocol, prefix != "digits"), FILES[name])


def list_sections(name: str) -> Mapping[str, Callable[[str], Any]]:
    """Return what is measured of a protocol, by section."""
    common = {"settings": measure_settings, "preprocessing": measure_preprocessing}
    if issubclass(find_protocol(name).recipe_type, FrozenRecipe):
        # the analysis of all layers has no file of its own: it takes the settings of this protocol
        layers = {"layerwise": lambda each: measure_layerwise()} if name == "images_linear" else {}
        return {**common, "probe": measure_probe, **layers}
    return {
        **common,
        "plan": lambda each: sorted(train_protocol(each).plan.config),
        "optimizer": lambda each: train_protocol(each).optimizer,
        "learning_rates": measure_learning_rates,
        "losses": lambda each: train_protocol(each).losses,
    }


def measure_settings(name: str) -> Any:
    """Return the settings of a protocol at every tier."""
    found = find_protocol(name)
    return describe_settings(found.file, found.recipe_type)


def measure_learning_rates(name: str) -> Any:
    """Return the learning rates of a full training."""
    found = find_protocol(name)
    recipe = load_protocol(found.file, found.recipe_type, "full", ["loggers=[]"]).recipe
    return trace_learning_rates(recipe, train_protocol(name).learning_rates)


def measure_preprocessing(name: str) -> Any:
    """Return what the protocol's evaluation makes of a fixed image at its own input size."""
    found = find_protocol(name)
    recipe = load_protocol(found.file, found.recipe_type, "full").recipe
    if found.task is DIGITS:
        return {
            "pixels": describe_pixels(
                DigitsDataset(load_digits_data(), "test", recipe.img_size, HALF, HALF)[0]["images"]
            )
        }
    card = get_card("deit_tiny")
    split = ImageSplit(ImageArrays(make_photo()[None], "photo"), [0], [0])
    return {"pixels": describe_pixels(ImageDataset(split, recipe, card.mean, card.std)[0]["images"])}


@cache
def train_protocol(name: str) -> FirstSteps:
    """Run the first steps of a protocol with a small backbone on a small data set in the genuine layout."""
    found = find_protocol(name)
    small = ["batch_size=8", "schedule.warmup=0", "loggers=[]", "workers=0"]
    card = get_card("vit_pico")
    if found.protocol == "finetune_tan":
        card = TOKEN_CARD
    else:
        small.append("img_size=32")
    small += ["search.lr=[]", "search.layer_decay=[]", state_learning_rate(found.file, found.recipe_type)]
    if found.protocol == DISTILL_PROTOCOL:
        small += format_teacher_settings(found.protocol, "vit_pico", _write_teacher())
    folder = get_work_folder(name)
    return run_first_steps(found.task, found.protocol, card, small, write_image_set(found.task.name), folder)


@cache
def _write_teacher() -> Path:
    """Write a teacher of three classes, as many as the small data sets have."""
    seed_all(7)
    model = create_backbone("vit_pico", checkpoint="random", num_classes=3, global_pool="avg").model
    path = get_work_folder("class teacher") / "vit_pico.pth"
    torch.save(model.state_dict(), path)
    return path


class FixedFeatures(FrozenBackbone):
    """A frozen backbone with fixed features, which no image and no cache has to give."""

    def get_features(self, split: str, indices: Any = None) -> Any:
        """Return the features of a split or of some of its items."""
        found = make_features(split, SPLIT_COUNTS[split])
        return found if indices is None else type(found)(found.features[indices], found.labels[indices])


class FixedLayers(FixedFeatures, LayerwiseFrozenBackbone):
    """The same in two layers of half the width."""


def _make_frozen(recipe: FrozenRecipe, kind: type[FrozenBackbone] = FixedFeatures) -> Any:
    model = nn.Identity()
    model.feature_info = [{"num_chs": 6}, {"num_chs": 6}]  # type: ignore[assignment]
    created: Any = SimpleNamespace(model=model, load_report=None, weight_file=None)
    splits: Any = {name: _Labels(make_features(name, count).labels.tolist()) for name, count in SPLIT_COUNTS.items()}
    return kind(created, recipe, splits, 0, 1.0, "0" * 64, "cpu", {}, "pinned")


class _Labels:
    """A data set of which only the labels are used."""

    def __init__(self, labels: list[int]) -> None:
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)


def measure_probe(name: str) -> Any:
    """Return the outcome of a protocol on frozen features: its scores, what it chose, and every prediction."""
    found = find_protocol(name)
    recipe = load_protocol(found.file, found.recipe_type, "full").recipe
    outcome = FROZEN_PROTOCOLS[found.protocol](_make_frozen(recipe), recipe, found.task)
    prediction, confidence = (outcome.item_columns.index(column) for column in ("prediction", "confidence"))
    return {
        "metrics": {key: value.value for key, value in outcome.metrics.items()},
        "chosen": outcome.selection.chosen,
        "value": outcome.selection.value,
        "predictions": "".join(str(row[prediction]) for row in outcome.item_rows),
        "confidences": [round(float(row[confidence] or 0), 4) for row in outcome.item_rows[:8]],
    }


def measure_splits() -> Any:
    """Return digests of what is drawn: val where a set has none, shares of the training data, shots, and digits."""
    # classes of unlike sizes, 5 to 25, so that shares are rounded up and down
    labels = [label for label in range(6) for _ in range(5 + 4 * label)]
    pixels = np.zeros((120, 2, 2, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(120)[:, None, None], 1
    train = RawSplit(ImageArrays(pixels[:90], "train"), labels)
    test = RawSplit(ImageArrays(pixels[90:], "test"), [number % 6 for number in range(30)])
    raw = RawDataset({number: str(number) for number in range(6)}, {"train": train, "test": test})
    data = prepare_dataset(raw, {}, None, 0.1, "here")
    return {
        "val": list(data.splits["val"].indices),
        "fingerprint": data.fingerprint,
        "digits": load_digits_data().fingerprint,
        "share of 0.1": [sample_class_fraction(labels, 0.1, seed) for seed in (0, 1)],
        "share of 0.5": [compute_digest({"items": sample_class_fraction(labels, 0.5, seed)}) for seed in (0, 1)],
        "shots": [sample_k_shot(labels, 1, seed) for seed in (0, 1)],
    }


def measure_metrics() -> Any:
    """Return the accuracies of fixed outcomes of unlike classes, with ties and a class that is never predicted."""
    truth = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3])
    chances = np.array([[(3 * row + 5 * column) % 7 for column in range(7)] for row in range(10)], np.float64)
    places = rank_true_class(truth, chances)
    rows = [
        ScoredItem(item, int(truth[item]), int(chances[item].argmax()), 0.5, int(places[item])) for item in range(10)
    ]
    return {"places": places.tolist(), **compute_accuracies(rows, 10)}


def measure_layerwise() -> Any:
    """Return the scores of the probes after every block, by the recipes of the analysis."""
    linear = load_protocol(FILES["images_linear"], LinearRecipe, "full").recipe
    knn = load_protocol(FILES["images_knn"], KnnRecipe, "full").recipe
    scores = probe_layers(_make_frozen(linear, FixedLayers), linear, knn)
    return [[each.depth, each.probe, each.val_top1, each.hyperparameters] for each in scores]


def measure_decoding() -> Any:
    """Return what is decoded from a JPEG photograph and from a gray file of 16 bits."""
    photo = np.asarray(open_rgb(find_jpeg()))
    deep = get_work_folder("deep") / "deep.png"
    Image.fromarray((np.arange(4096, dtype=np.int64).reshape(64, 64) * 16).astype(np.uint16)).save(deep)
    return {
        "decoded": describe_pixels(photo.transpose(2, 0, 1)),
        "sixteen bit": np.asarray(open_rgb(deep))[::21, ::21, 0].tolist(),
    }


SHARED_SECTIONS: Mapping[str, Callable[[], Any]] = {
    "splits": measure_splits,
    "metrics": measure_metrics,
    "decoding": measure_decoding,
}
