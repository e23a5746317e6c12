"""Room for the checkpoints of a training, required before its first step and not found missing after an hour."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from engine.recipe import TrainingRecipe
from foundation.storage.disk_space import require_space


def require_checkpoint_space(folder: Path, model: nn.Module, recipe: TrainingRecipe, max_kept: int) -> None:
    """Require room for the checkpoints of a training; those that are there already are counted.

    Args:
        folder: folder of the checkpoints.
        model: the model that is trained.
        recipe: gives the number of checkpoints and the optimizer.
        max_kept: how many complete states are kept; one more exists while it is written.

    Raises:
        StorageError: there is less room than the checkpoints need.
    """
    weights = sum(value.nbytes for value in model.state_dict().values())
    trained = sum(value.nbytes for value in model.parameters() if value.requires_grad)
    # AdamW keeps two averages of each gradient, SGD its momentum
    averages = 2 if recipe.optimizer.name == "AdamW" else int(recipe.optimizer.momentum > 0)
    state = weights + trained * averages
    num_saved = min(max_kept + 1, -(-recipe.length // recipe.val_interval))
    # of the chosen weights at least one file; more only if later epochs are better
    needed = num_saved * state + weights
    present = sum(path.stat().st_size for path in folder.glob("*.pth"))
    require_space(folder, max(0, needed - present), "the checkpoints of this training", num_files=2 * num_saved + 2)
