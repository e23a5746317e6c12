"""Features of a frozen backbone for a whole split, computed once and kept in the cache."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, default_collate

from backbones.create import Created, create_backbone
from backbones.features import pooled
from backbones.weights import RANDOM
from classification.data.subset_sampling import Drawn, Labelled, share
from classification.metrics import Scored, accuracies, places, recorded
from classification.probes import feature_cache
from classification.probes.feature_cache import Features
from classification.recipe import FrozenRecipe
from engine.device import world
from engine.progress import say
from engine.progress_bar import PLAIN_EVERY_SECONDS
from engine.seeding import mix, seed_all
from engine.task import Outcome, Plan, Request, Task
from engine.training import make_deterministic
from foundation.errors import BenchError, IncompleteError, UserError
from foundation.files import sha256_file
from results.records.identity import digest
from results.records.record import LoadReport, Metric, Selection

SOFTWARE = ("torch", "timm", "numpy", "opencv-python")
"""Packages whose version may move a feature; part of the cache's key."""


@dataclass(frozen=True)
class Frozen:
    """A frozen backbone on its device, and what its features are made of.

    Attributes:
        created: the backbone as made, in eval mode.
        recipe: gives pooling, batch size and loader processes.
        splits: items by split, whole.
        seed: of the run.
        scale: share of train, and of val where that is trained on, that is used.
        fingerprint: of the data.
        device: ``cpu`` or ``cuda``.
        identity: ingredients of the cache's key that are the same for all splits.
        label: for the progress lines.
    """

    created: Created
    recipe: FrozenRecipe
    splits: Mapping[str, Labelled]
    seed: int
    scale: float
    fingerprint: str
    device: str
    identity: Mapping[str, Any]
    label: str

    def train(self, on: str = "train") -> Features:
        """What is trained on, as far as it is used; see ``features``.

        Args:
            on: ``train``, or ``train+val`` for the two one after the other.
        """
        parts = [self.features(split, self._used(split)) for split in on.split("+")]
        if len(parts) == 1:
            return parts[0]
        return Features(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _used(self, split: str) -> Sequence[int] | None:
        return None if self.scale == 1 else share(self.splits[split].labels, self.scale, self.seed)

    def features(self, split: str, members: Sequence[int] | None = None) -> Features:
        """A split's features, from the cache where it holds them.

        Of few items only theirs are computed, unless the whole split is in the cache.

        Args:
            split: its name.
            members: item numbers, rising, each once; ``None`` for all.

        Raises:
            IncompleteError: an image is missing or was given twice.
            BenchError: features that are not finite numbers.
        """
        whole = self._kept(split, None)
        if members is None or len(members) == len(self.splits[split]):
            return whole or feature_cache.store(self.ingredients(split), *self._computed(split, None))
        if whole is not None:
            return Features(whole.values[members], whole.labels[members])
        found = self._kept(split, members)
        return found or feature_cache.store(self.ingredients(split, members), *self._computed(split, members))

    def ingredients(self, split: str, members: Sequence[int] | None = None) -> dict[str, Any]:
        """Everything that can change the features of a split, or of some of its items."""
        some = {} if members is None else {"members": digest({"members": list(members)})}
        return {
            **some,
            **self.identity,
            "preprocessing": self.splits[split].preprocessing(),
            "pool": self.recipe.pool,
            "layer": "last",
            "data": self.fingerprint,
            "split": split,
            "items": len(self.splits[split]),
            "dtype": "float32",
            "device": self.device,
            "software": {name: version(name) for name in SOFTWARE},
        }

    def _kept(self, split: str, members: Sequence[int] | None) -> Features | None:
        found = feature_cache.load(self.ingredients(split, members))
        return found if found is not None and self._still_holds(found, self._items(split, members)) else None

    def _computed(
        self, split: str, members: Sequence[int] | None
    ) -> tuple[int, Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]]:
        items = self._items(split, members)
        return len(items), self._batches(split, items)

    def _items(self, split: str, members: Sequence[int] | None) -> Labelled:
        items = self.splits[split]
        return items if members is None else Drawn(items, members)

    def _still_holds(self, found: Features, items: Labelled) -> bool:
        """Compute the first and the last item again: code of a plug-in that was edited is in no key."""
        ends = sorted({0, len(items) - 1})
        batch = default_collate([items[index] for index in ends])
        again = self._forward(batch["images"])
        kept = np.asarray(found.values[ends])
        # another batch size moves last digits only, on a GPU in the convolutions' TF32
        tolerance = 1e-4 if self.device == "cpu" else 1e-2
        same = again.shape == kept.shape and bool(np.abs(again - kept).max() <= tolerance * np.abs(kept).max())
        if same and batch["labels"].tolist() == found.labels[ends].tolist():
            return True
        say(f"{self.label}: the cached features are not what this backbone gives now; they are computed anew")
        return False

    def _forward(self, images: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            values = pooled(self.created.model, images.to(self.device), self.recipe.pool)
        return np.asarray(values.float().cpu().numpy(), np.float32)

    def _batches(self, split: str, items: Labelled) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Features and labels, batch by batch in item order."""
        done = 0
        loader: DataLoader[Any] = DataLoader(
            items,  # type: ignore[arg-type]  # a map-style dataset by its methods
            batch_size=self.recipe.batch_size,
            num_workers=self.recipe.workers,
            pin_memory=self.device == "cuda",
        )
        began = spoke = time.monotonic()
        for batch in loader:
            numbers = batch["item"].tolist()
            if numbers != list(range(done, done + len(numbers))):
                raise IncompleteError(f"{split} gave images {numbers[:3]}... where image {done} was due")
            values = self._forward(batch["images"])
            if not np.isfinite(values).all():
                first = done + int(np.flatnonzero(~np.isfinite(values).all(1))[0])
                raise BenchError(f"the features of {split} image {first} are not finite; check the start weights")
            done += len(numbers)
            if time.monotonic() - spoke > PLAIN_EVERY_SECONDS:
                spoke = time.monotonic()
                left = (spoke - began) / done * (len(items) - done)
                say(f"{self.label}: features of {split}, {done}/{len(items)} images, {left:.0f} s left")
            yield values, batch["labels"].numpy()


def require_one_process(protocol: str) -> None:
    """Refuse several processes: each would do the whole work and write the same cache.

    Raises:
        UserError: under ``torchrun`` with more than one process.
    """
    if world()[1] > 1:
        raise UserError(f"protocol {protocol} runs in one process, not {world()[1]}; start it without torchrun")


def freeze(
    request: Request, plan: Plan, recipe: FrozenRecipe, splits: Mapping[str, Labelled], fingerprint: str, task: Task
) -> Frozen:
    """Make the backbone as fine-tuning does (a random one from the run's seed), and fix it.

    Args:
        request: the cell; its start weights, seed, data scale and device are used.
        plan: gives the backbone's arguments.
        recipe: gives pooling, batch size and loader processes.
        splits: items by split, without augmentation.
        fingerprint: of the data.
        task: gives the name.
    """
    require_one_process(request.protocol)
    make_deterministic()
    seed_all(mix(request.seed, 0))
    file = request.start.file
    created = create_backbone(
        request.card, checkpoint=str(file) if file else RANDOM, allow_partial=request.allow_partial, **plan.arguments
    )
    created.model.eval().requires_grad_(False).to(request.device)
    # where a part stays as initialised, the seed is among the ingredients
    by_seed = file is None or request.allow_partial
    identity = {
        "weights": sha256_file(file) if file else RANDOM,
        "start": request.start.init,
        "seed": request.seed if by_seed else None,
        "card": request.card.identity(),
        "arguments": dict(plan.arguments),
    }
    label = f"{task.name} {request.card.name} {request.protocol}"
    scale = request.data_scale
    return Frozen(created, recipe, splits, request.seed, scale, fingerprint, request.device, identity, label)


def scored(labels: NDArray[np.int64], chances: NDArray[np.float64], first: int = 0) -> list[Scored]:
    """One row an item, numbered from ``first``, of class chances (n, classes)."""
    columns = (labels, chances.argmax(1), chances.max(1), places(labels, chances))
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [Scored(item, *row) for item, row in enumerate(rows, first)]


def frozen_outcome(
    frozen: Frozen, task: Task, rows: Sequence[Scored], selection: Selection, phases: Mapping[str, float]
) -> Outcome:
    """What a protocol on frozen features gives that reads test once.

    Raises:
        IncompleteError: unless every test item was scored once.
    """
    expected = len(frozen.splits["test"])
    metrics = recorded(task.metrics, accuracies(rows, expected), expected)
    return outcome_of(frozen, metrics, Scored._fields, rows, selection, phases)


def outcome_of(
    frozen: Frozen,
    metrics: Mapping[str, Metric],
    columns: tuple[str, ...],
    items: Sequence[Sequence[str | int | float | None]],
    selection: Selection,
    phases: Mapping[str, float],
) -> Outcome:
    """The outcome with what is known of the backbone."""
    report, file = frozen.created.report, frozen.created.file
    model: nn.Module = frozen.created.model
    return Outcome(
        metrics=metrics,
        columns=columns,
        items=items,
        selection=selection,
        load_report=LoadReport(**asdict(report)) if report else None,
        checkpoint_format=file.format if file else None,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        phases=dict(phases),
    )
