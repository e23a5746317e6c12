"""Features of a frozen backbone for a whole split, computed once and kept in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, default_collate

from backbones.create import CreatedBackbone
from backbones.features import extract_pooled
from backbones.weights import RANDOM_INIT
from classification.data.subset_sampling import LabeledDataset, LabeledSubset, sample_class_fraction
from classification.metrics import ScoredItem, compute_accuracies, rank_true_class, to_record_metrics
from classification.probes import feature_cache
from classification.probes.feature_cache import LabeledFeatures
from classification.recipe import FrozenRecipe
from engine.device import get_dist_info
from engine.progress import log_message
from engine.progress_bar import ProgressBar
from engine.task import RunPlan, RunRequest, Task, TaskOutcome
from engine.training import make_deterministic
from foundation.errors import BenchError, IncompleteError, UserError
from results.records.identity import compute_digest
from results.records.record import MetricValue, ModelSelection

CACHE_KEY_PACKAGES = ("torch", "timm", "numpy", "opencv-python")
"""Packages whose version may move a feature; part of the cache's key."""


@dataclass(frozen=True)
class FrozenBackbone:
    """A frozen backbone on its device, and what its features are made of.

    Attributes:
        created: the backbone as made, in eval mode.
        recipe: gives pooling, batch size and loader processes.
        splits: items by split, whole.
        seed: of the run.
        data_scale: share of train, and of val where that is trained on, that is used.
        data_fingerprint: of the data.
        device: ``cpu`` or ``cuda``.
        shared_key_fields: ingredients of the cache's key that are the same for all splits.
        label: for the progress lines.
    """

    created: CreatedBackbone
    recipe: FrozenRecipe
    splits: Mapping[str, LabeledDataset]
    seed: int
    data_scale: float
    data_fingerprint: str
    device: str
    shared_key_fields: Mapping[str, Any]
    label: str

    def get_train_features(self, train_on: str = "train") -> LabeledFeatures:
        """What is trained on, as far as it is used; see ``get_features``.

        Args:
            train_on: ``train``, or ``train+val`` for the two one after the other.
        """
        parts = [self.get_features(split, self._get_used_indices(split)) for split in train_on.split("+")]
        if len(parts) == 1:
            return parts[0]
        return LabeledFeatures(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _get_used_indices(self, split: str) -> Sequence[int] | None:
        return (
            None
            if self.data_scale == 1
            else sample_class_fraction(self.splits[split].labels, self.data_scale, self.seed)
        )

    def get_features(self, split: str, indices: Sequence[int] | None = None) -> LabeledFeatures:
        """A split's features, from the cache where it holds them.

        Of few items only theirs are computed, unless the whole split is in the cache.

        Args:
            split: its name.
            indices: item numbers, rising, each once; ``None`` for all.

        Raises:
            IncompleteError: an image is missing or was given twice.
            BenchError: features that are not finite numbers.
        """
        whole = self._load_cached(split, None)
        if indices is None or len(indices) == len(self.splits[split]):
            return whole or feature_cache.store_features(
                self.get_key_fields(split), *self._compute_features(split, None)
            )
        if whole is not None:
            return LabeledFeatures(whole.features[indices], whole.labels[indices])
        found = self._load_cached(split, indices)
        return found or feature_cache.store_features(
            self.get_key_fields(split, indices), *self._compute_features(split, indices)
        )

    def get_key_fields(self, split: str, indices: Sequence[int] | None = None) -> dict[str, Any]:
        """Everything that can change the features of a split, or of some of its items."""
        some = {} if indices is None else {"members": compute_digest({"members": list(indices)})}
        return {
            **some,
            **self.shared_key_fields,
            "preprocessing": self.splits[split].get_preprocessing(),
            "pool": self.recipe.pool,
            "layer": "last",
            "data": self.data_fingerprint,
            "split": split,
            "items": len(self.splits[split]),
            "dtype": "float32",
            "device": self.device,
            "software": {name: version(name) for name in CACHE_KEY_PACKAGES},
        }

    def _load_cached(self, split: str, indices: Sequence[int] | None) -> LabeledFeatures | None:
        found = feature_cache.load_features(self.get_key_fields(split, indices))
        return found if found is not None and self._matches_backbone(found, self._get_dataset(split, indices)) else None

    def _compute_features(
        self, split: str, indices: Sequence[int] | None
    ) -> tuple[int, Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]]:
        items = self._get_dataset(split, indices)
        return len(items), self._iterate_batches(split, items)

    def _get_dataset(self, split: str, indices: Sequence[int] | None) -> LabeledDataset:
        items = self.splits[split]
        return items if indices is None else LabeledSubset(items, indices)

    def _matches_backbone(self, cached: LabeledFeatures, dataset: LabeledDataset) -> bool:
        """Compute the first and the last item again: code of a plug-in that was edited is in no key."""
        ends = sorted({0, len(dataset) - 1})
        batch = default_collate([dataset[index] for index in ends])
        again = self._extract_batch(batch["images"])
        kept = np.asarray(cached.features[ends])
        # another batch size moves last digits only, on a GPU in the convolutions' TF32
        tolerance = 1e-4 if self.device == "cpu" else 1e-2
        same = again.shape == kept.shape and bool(np.abs(again - kept).max() <= tolerance * np.abs(kept).max())
        if same and batch["labels"].tolist() == cached.labels[ends].tolist():
            return True
        log_message(f"{self.label}: the cached features are not what this backbone gives now; they are computed anew")
        return False

    def _extract_batch(self, images: torch.Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            values = extract_pooled(self.created.model, images.to(self.device), self.recipe.pool)
        return np.asarray(values.float().cpu().numpy(), np.float32)

    def _iterate_batches(
        self, split: str, dataset: LabeledDataset
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Features and labels, batch by batch in item order."""
        done = 0
        loader: DataLoader[Any] = DataLoader(
            dataset,  # type: ignore[arg-type]  # a map-style dataset by its methods
            batch_size=self.recipe.batch_size,
            num_workers=self.recipe.workers,
            pin_memory=self.device == "cuda",
        )
        what = f"features of {split},"
        with ProgressBar(self.label, "images", len(dataset), count_prefix=what, with_rate=False) as progress:
            for batch in loader:
                numbers = batch["item"].tolist()
                if numbers != list(range(done, done + len(numbers))):
                    raise IncompleteError(f"{split} gave images {numbers[:3]}... where image {done} was due")
                values = self._extract_batch(batch["images"])
                if not np.isfinite(values).all():
                    first = done + int(np.flatnonzero(~np.isfinite(values).all(1))[0])
                    raise BenchError(f"the features of {split} image {first} are not finite; check the start weights")
                done += len(numbers)
                progress.advance(num_items=len(numbers))
                yield values, batch["labels"].numpy()


def require_one_process(protocol: str) -> None:
    """Refuse several processes: each would do the whole work and write the same cache.

    Raises:
        UserError: under ``torchrun`` with more than one process.
    """
    if get_dist_info()[1] > 1:
        raise UserError(f"protocol {protocol} runs in one process, not {get_dist_info()[1]}; start it without torchrun")


def make_frozen_backbone(
    request: RunRequest,
    plan: RunPlan,
    recipe: FrozenRecipe,
    splits: Mapping[str, LabeledDataset],
    fingerprint: str,
    task: Task,
) -> FrozenBackbone:
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
    created = request.build_backbone(plan.backbone_kwargs)
    created.model.eval().requires_grad_(False).to(request.device)
    # where a part stays as initialised, the seed is among the ingredients
    by_seed = request.start.init == "random" or request.allow_partial
    identity = {
        "weights": created.weight_file.sha256 if created.weight_file else request.start.sha256 or RANDOM_INIT,
        "start": request.start.init,
        "seed": request.seed if by_seed else None,
        "card": request.card.identity_dict(),
        "arguments": dict(plan.backbone_kwargs),
    }
    label = f"{task.name} {request.card.name} {request.protocol}"
    scale = request.data_scale
    return FrozenBackbone(created, recipe, splits, request.seed, scale, fingerprint, request.device, identity, label)


def score_rows(labels: NDArray[np.int64], probabilities: NDArray[np.float64], first_item: int = 0) -> list[ScoredItem]:
    """One row an item, numbered from ``first_item``, of class chances (n, classes)."""
    columns = (labels, probabilities.argmax(1), probabilities.max(1), rank_true_class(labels, probabilities))
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [ScoredItem(item, *row) for item, row in enumerate(rows, first_item)]


def build_accuracy_outcome(
    frozen: FrozenBackbone,
    task: Task,
    item_rows: Sequence[ScoredItem],
    selection: ModelSelection,
    phase_seconds: Mapping[str, float],
) -> TaskOutcome:
    """What a protocol on frozen features gives that reads test once.

    Raises:
        IncompleteError: unless every test item was scored once.
    """
    expected = len(frozen.splits["test"])
    metrics = to_record_metrics(task.metrics, compute_accuracies(item_rows, expected), expected)
    return build_outcome(frozen, metrics, ScoredItem._fields, item_rows, selection, phase_seconds)


def build_outcome(
    frozen: FrozenBackbone,
    metrics: Mapping[str, MetricValue],
    item_columns: tuple[str, ...],
    item_rows: Sequence[Sequence[str | int | float | None]],
    selection: ModelSelection,
    phase_seconds: Mapping[str, float],
) -> TaskOutcome:
    """The outcome with what is known of the backbone."""
    report, file = frozen.created.load_report, frozen.created.weight_file
    model: nn.Module = frozen.created.model
    return TaskOutcome(
        metrics=metrics,
        item_columns=item_columns,
        item_rows=item_rows,
        selection=selection,
        load_report=report,
        checkpoint_format=file.format if file else None,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        phase_seconds=dict(phase_seconds),
    )
