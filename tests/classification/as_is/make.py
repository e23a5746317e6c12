"""Finished classifiers and test images, made on the spot."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from backbones.build_model import build_model
from backbones.registry import get_card
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from classification.as_is.evaluation import ClassifierEvaluation
from classification.as_is.head_classes import list_imagenet_synsets
from classification.image_tasks import IMAGE_TASKS
from engine.evaluation.model_source import ModelSource
from engine.task import TaskOutcome
from tests.classification.data import make

SYNSETS = list_imagenet_synsets()
TENCH, GOLDFISH, TEDDY = "n01440764", "n01443537", "n04399382"


def make_model(num_classes: int, seed: int = 0, backbone: str = "vit_pico", **arguments: Any) -> nn.Module:
    """A network whose classifier answers differently for different images."""
    torch.manual_seed(seed)
    card = get_card(backbone)
    model = build_model(card, card.input_size[1:], {"num_classes": num_classes, **arguments})  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model.eval()


def save_model(path: Path, model: nn.Module) -> Path:
    """The state dict of a network as a file."""
    torch.save(model.state_dict(), path)
    return path


def write_class_folders(root: Path, names: Sequence[str], each: int = 3, first: int = 0) -> Path:
    """Class folders of noise of several sizes."""
    for number, name in enumerate(names):
        for index in range(each):
            size = (40 + 3 * index, 36 + number)
            make.write_noise_image(root / name / f"{name}_{index}.png", first + 100 * number + index, size=size)
    return root


def open_folder(source: ModelSource, root: Path, task: str = "imagefolder") -> ClassifierEvaluation:
    """Opens a model on a task of photographs."""
    return IMAGE_TASKS[task].open_evaluation(source, root)


def train(out: Path, root: Path, task: str, *overrides: str, **fields: Any) -> Path:
    """A short run in this process; returns its folder."""
    request = CellRequest(
        task=task, backbone="vit_pico", data_root=root, out=out, device="auto", overrides=overrides, **fields
    )
    return run_cell(request).folder


def hash_items(outcome: TaskOutcome) -> str:
    """The SHA-256 of the items file that the record of an outcome would get."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(outcome.item_columns)
    writer.writerows(outcome.item_rows)
    return hashlib.sha256(text.getvalue().encode()).hexdigest()


def compute_logits(evaluation: ClassifierEvaluation) -> Tensor:
    """The logits of all images, in the order of the head."""
    images = [torch.as_tensor(np.asarray(evaluation.dataset[i]["images"])) for i in range(len(evaluation.dataset))]
    with torch.no_grad():
        return evaluation.classifier.model(torch.stack(images))  # type: ignore[no-any-return]
