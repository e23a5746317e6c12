"""What is pinned of the pre-training protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from timm.models.swin_transformer import SwinTransformer

from backbones.card import BackboneCard
from backbones.cards.common import ARCHITECTURES_MODULE
from backbones.create import create_backbone
from backbones.registry import get_card
from backbones.weights import InitialWeights
from engine.config import load_protocol
from engine.seeding import seed_all
from engine.teacher import TeacherWeights
from foundation.files import sha256_file
from pretraining.data.dataset_specs import DATASET_CARDS
from pretraining.data.gpu_augmentation import BatchPreprocessor
from pretraining.data.readers import ImagePool
from pretraining.knn_monitor import KnnMonitor
from pretraining.method_registry import METHOD_CARDS, MethodCard
from pretraining.models.vit import get_backbone_arguments
from pretraining.recipe import KnnMonitorSettings, MocoRecipe, PretrainRecipe
from pretraining.task import PretrainTask
from results.records.identity import compute_digest
from tests.wrong_numbers.pinning.datasets import write_image_set
from tests.wrong_numbers.pinning.first_steps import FirstSteps, run_first_steps
from tests.wrong_numbers.pinning.inputs import HALF, TOKEN_CARD, describe_pixels, get_work_folder, make_photo
from tests.wrong_numbers.pinning.recipes import (
    describe_settings,
    list_config_files,
    state_learning_rate,
    trace_learning_rates,
)

FILES = list_config_files("pretraining")


def _make_card(architecture: str, **arguments: Any) -> BackboneCard:
    """A hierarchical backbone for images of 64 px."""
    return BackboneCard(
        name=f"pinned_{architecture}",
        architecture=architecture,
        summary="reduced",
        arguments=arguments,
        input_size=(3, 64, 64),
        mean=HALF,
        std=HALF,
        prefix_tokens=0,
        module=ARCHITECTURES_MODULE,
    )


HIERA_CARD = _make_card("hiera_lite", embed_dim=24, stages=(1, 1, 2, 1))
SWIN_CARD = _make_card("swin_lite", embed_dim=24, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 2))


class PinnedMethod(NamedTuple):
    """A config file with the method, the image set and the backbone that use it."""

    method: MethodCard
    data: str
    card: BackboneCard


def find_method(name: str) -> PinnedMethod:
    """Return what a config file belongs to: ``<method>``, ``<method>_<data>`` or ``<method>_<architecture>``."""
    method = METHOD_CARDS[max((each for each in METHOD_CARDS if f"{name}_".startswith(f"{each}_")), key=len)]
    rest = name.removeprefix(method.name).removeprefix("_")
    data = rest if rest in DATASET_CARDS else "folder"
    if method.name == "mae_cifar":
        return PinnedMethod(method, "cifar10", TOKEN_CARD)
    if rest == "hiera_lite":
        return PinnedMethod(method, data, HIERA_CARD)
    return PinnedMethod(method, data, SWIN_CARD if method.name.startswith("simmim") else get_card("vit_pico"))


def list_sections(name: str) -> Mapping[str, Callable[[str], Any]]:
    """Return what is measured of a protocol, by section."""
    return {
        "settings": lambda each: describe_settings(FILES[each], find_method(each).method.load_recipe_class()),
        "preprocessing": measure_preprocessing,
        "plan": lambda each: sorted(train_protocol(each).plan.config),
        "optimizer": lambda each: train_protocol(each).optimizer,
        "learning_rates": measure_learning_rates,
        "losses": lambda each: train_protocol(each).losses,
    }


def _load_recipe(name: str) -> PretrainRecipe:
    recipe_type = find_method(name).method.load_recipe_class()
    return load_protocol(FILES[name], recipe_type, "full", ["loggers=[]"]).recipe


def measure_learning_rates(name: str) -> Any:
    """Return the learning rates of a full training."""
    return trace_learning_rates(_load_recipe(name), train_protocol(name).learning_rates)


def measure_preprocessing(name: str) -> Any:
    """Return the crops that are made of a fixed photograph for fixed seeds, at 64 px."""
    recipe = _load_recipe(name)
    colors = recipe.color_augmentation if isinstance(recipe, MocoRecipe) else None
    pool = ImagePool("0" * 64, make_photo(90, 120)[None])
    preprocessor = BatchPreprocessor(pool, recipe, 64, HALF, HALF, colors)
    batch = preprocessor({"item": torch.tensor([0, 0]), "seeds": torch.tensor([1, 2])})
    views = [batch["images"], *([batch["second_images"]] if "second_images" in batch else [])]
    return {"pixels": [describe_pixels(image) for view in views for image in view]}


class _TaughtTask(PretrainTask):
    """A pre-training whose teacher is a backbone like the student, with other random weights."""

    taught: BackboneCard

    def find_teacher_weights(self) -> TeacherWeights | None:
        """Return the weights of the teacher, if the method has one."""
        if not self.method.needs_teacher:
            return None
        file = _write_teacher(self.taught.name)
        return TeacherWeights(self.taught, InitialWeights("checkpoint", file, str(file)), sha256_file(file))


@cache
def _write_teacher(name: str) -> Path:
    card = {HIERA_CARD.name: HIERA_CARD, SWIN_CARD.name: SWIN_CARD}.get(name) or get_card(name)
    seed_all(7)
    arguments = {"img_size": card.input_size[1], "num_classes": 0, **get_backbone_arguments(card.architecture)}
    model = create_backbone(card, checkpoint="random", **arguments).model
    path = get_work_folder("teachers") / f"{name}.pth"
    # a teacher of SimMIM sees masked images, with a mask token of its own
    token = {"mask_token": torch.randn(1, 1, model.embed_dim)} if isinstance(model, SwinTransformer) else {}
    torch.save({**model.state_dict(), **token}, path)
    return path


@cache
def train_protocol(name: str) -> FirstSteps:
    """Run the first steps of a protocol with a small backbone on few images."""
    method, data, card = find_method(name)
    small = ["batch_size=8", "schedule.warmup=0", "loggers=[]", "workers=0", "knn_monitor.interval=0"]
    small += ["knn_monitor.bank_size=20", "knn_monitor.num_queries=4", "knn_monitor.k=2"]
    small.append(state_learning_rate(FILES[name], method.load_recipe_class()))
    if method.name == "mocov3":
        # few epochs and a low momentum, whose rise then shows in three steps
        small += ["hidden_dim=32", "out_dim=16", "epochs=2", "momentum=0.5"]
    task = _TaughtTask(method.name, data, teacher="replaced" if method.needs_teacher else None)
    task.taught = card
    return run_first_steps(task, method.name, card, small, write_image_set(data), get_work_folder(name))


def measure_monitor() -> Any:
    """Return a digest of which images vote in the k-NN check, and which are classified."""
    pool = ImagePool("0" * 64, make_photo(8, 8)[None].repeat(900, 0), labels=[number % 9 for number in range(900)])
    settings = KnnMonitorSettings(bank_size=500, num_queries=100)
    unused: Any = None
    return compute_digest({"items": [int(item) for item in KnnMonitor(pool, settings, unused).item_indices]})


SHARED_SECTIONS: Mapping[str, Callable[[], Any]] = {"monitor": measure_monitor}
