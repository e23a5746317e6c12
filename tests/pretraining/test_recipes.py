"""Every recipe holds, says where it is from, and has the papers' numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.config import load_protocol
from foundation.errors import ConfigError
from pretraining.method_registry import METHOD_CARDS
from pretraining.task import CONFIG_DIR, PretrainTask

FILES = sorted(path for path in CONFIG_DIR.glob("*.py") if path.stem != "__init__")


def recipe(path: Path, tier: str = "full", *changes: str) -> Any:
    method = max((name for name in METHOD_CARDS if path.stem == name or path.stem.startswith(f"{name}_")), key=len)
    return load_protocol(path, METHOD_CARDS[method].load_recipe_class(), tier, changes)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recipe_holds_at_every_tier(path: Path) -> None:
    for tier in ("full", "short", "smoke"):
        found = recipe(path, tier)
        assert found.version >= 1
        assert found.source


def test_every_method_has_a_recipe_and_a_builder() -> None:
    for name, card in METHOD_CARDS.items():
        assert (CONFIG_DIR / f"{name}.py").is_file()
        assert callable(card.load_builder())


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "lr", "betas", "decay"),
    [
        ("mae", 400, 4096, 1.5e-4 * 4096 / 256, [0.9, 0.95], 0.05),
        ("mae_distill", 400, 4096, 1.5e-4 * 4096 / 256, [0.9, 0.95], 0.05),
        ("mae_distill_d2", 400, 4096, 1.5e-4 * 4096 / 256, [0.9, 0.95], 0.05),
        ("mae_hiera_lite", 400, 4096, 1.5e-4 * 4096 / 256, [0.9, 0.95], 0.05),
        ("simmim", 400, 2048, 4e-4, [0.9, 0.99], 0.05),
        ("mocov3", 400, 1024, 1.5e-4 * 1024 / 256, [0.9, 0.999], 0.1),
    ],
)
def test_recipes_of_the_papers(name: str, epochs: int, batch: int, lr: float, betas: Any, decay: float) -> None:
    found = recipe(CONFIG_DIR / f"{name}.py").recipe
    assert (found.epochs, found.batch_size, found.optimizer.weight_decay) == (epochs, batch, decay)
    assert found.optimizer.lr == pytest.approx(lr)
    assert found.optimizer.betas == betas


@pytest.mark.parametrize("name", ["mae", "mae_distill", "mae_distill_d2"])
def test_what_the_authors_loader_and_optimizer_do(name: str) -> None:
    """``train_interpolation`` is random; warmcos has its peak after the warm-up; no list of undecayed tensors."""
    found = recipe(CONFIG_DIR / f"{name}.py").recipe
    assert (found.interpolation, found.scale, found.flip) == ("random", [0.08, 1.0], 0.5)
    assert found.schedule.warmup_peak == "next_step"
    assert (found.optimizer.decay_embeddings, found.optimizer.decay_all) == (True, False)


def test_what_the_authors_of_simmim_do() -> None:
    """simmim_exp.py: rates per image of a batch of 2048, clipping, the Swin class's drop path, no list of undecayed."""
    for name in ("simmim", "simmim_d2"):
        found = recipe(CONFIG_DIR / f"{name}.py").recipe
        assert (found.interpolation, found.scale, found.flip, found.clip_grad) == ("random", [0.67, 1.0], 0.5, 5.0)
        assert (found.schedule.warmup_peak, found.schedule.warmup_start, found.schedule.warmup) == (
            "next_step",
            2e-6,
            10,
        )
        assert (found.schedule.name, found.schedule.milestones) == ("step", [700])
        assert (found.optimizer.decay_embeddings, found.optimizer.decay_all) == (True, False)
        assert (found.decoder, found.decoder_width, found.drop_path) == ("block", 96, 0.1)


def test_masks_of_the_papers() -> None:
    values = {name: recipe(CONFIG_DIR / f"{name}.py").recipe.mask_ratio for name in ("mae", "mae_hiera_lite", "simmim")}
    assert values == {"mae": 0.75, "mae_hiera_lite": 0.4, "simmim": 0.6}
    moco = recipe(CONFIG_DIR / "mocov3.py").recipe
    assert (moco.temperature, moco.momentum, moco.hidden_dim, moco.out_dim) == (0.2, 0.99, 4096, 256)
    assert "accumulate" in moco.identity_settings(), "pieces are other negatives"
    tan = recipe(CONFIG_DIR / "mae_cifar.py").recipe
    assert (tan.positions, tan.visible_loss > 0) == ("learned", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("distill.attention_targets=[3]", "names 1 layers for 0"),
        ("knn_monitor.interval=3", "must be a multiple of val_interval"),
        ("distill.attention=0.0", "nothing is distilled"),
    ],
)
def test_settings_that_do_not_hold(change: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        recipe(CONFIG_DIR / "mae_distill_digits.py", "full", change)


def test_the_most_particular_recipe_is_taken(tmp_path: Path) -> None:
    from backbones.registry import get_card
    from backbones.weights import InitialWeights
    from engine.task import RunRequest

    for backbone, batch in (("vit_nano", 64), ("hiera_lite", 256)):
        task = PretrainTask("mae", "digits")
        request = RunRequest(
            get_card(backbone), InitialWeights("random", None, None), "mae", "short", 0, (), tmp_path, "cpu"
        )
        plan = task.plan(request, task.check_data(tmp_path))
        assert plan.config["recipe"]["batch_size"] == batch
        assert plan.backbone_kwargs.get("q_pool") == (2 if backbone == "hiera_lite" else None)
