"""Compute the features of a frozen backbone for a split, once, and store them in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, default_collate

from backbones.checkpoints.loading_fixes import list_loading_fixes
from backbones.checkpoints.read_checkpoint import find_identity_key
from backbones.create import CreatedBackbone
from backbones.fused_linear import fuse_linears
from backbones.weights import RANDOM_INIT
from classification.data.subset_sampling import LabeledDataset, LabeledSubset, sample_class_fraction
from classification.probes import feature_cache
from classification.probes.feature_cache import LabeledFeatures
from classification.probes.feature_network import (
    FeatureNetwork,
    compute_with_torch,
    make_runtime_network,
    require_feature_runtime,
)
from classification.probes.shared_pass import FeatureBatch, FeatureCrew, PassOrder
from classification.probes.threaded_items import ThreadedItems
from classification.recipe import FrozenRecipe
from engine.calibration.scope import CalibrationScope, get_calibration, measure_items
from engine.determinism import make_deterministic
from engine.processes.lost_batches import report_lost_batches
from engine.progress_bar import ProgressBar, log_message
from engine.task import RunPlan, RunRequest, Task
from foundation.errors import IncompleteError, NonFiniteError
from foundation.package_versions import find_build
from results.records.identity import compute_digest

CACHE_KEY_PACKAGES = ("torch", "timm", "numpy", "opencv-python")
"""Packages whose version may change a feature; their versions are part of the cache key."""


MAX_MADE_UP_ROWS = 1 << 16
"""Largest number of features that a calibration makes up; what is fitted on more rows is taken in proportion."""


@dataclass(frozen=True)
class FrozenBackbone:
    """A frozen backbone on its device, and everything that determines its features.

    Attributes:
        created: the backbone in eval mode, with its load report.
        recipe: gives pooling, batch size and loader processes.
        splits: the complete data set of each split, without augmentation.
        seed: the run's seed.
        data_scale: fraction of train that is used, above 0 and up to 1; the same fraction of val where val is trained
            on.
        data_fingerprint: SHA-256 of the data.
        device: ``cpu``, ``cuda`` or ``mps``.
        shared_key_fields: fields of the cache key that are the same for all splits.
        label: prefix of the progress lines.
        crew: the processes that share a feature pass; ``None`` if this one is alone.
        network: computes the features in another runtime; ``None`` for PyTorch.
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
    crew: FeatureCrew | None = None
    network: FeatureNetwork | None = None

    def get_train_features(self, train_on: str = "train") -> LabeledFeatures:
        """Return the features of the training items, reduced to the data scale; see ``get_features``.

        Args:
            train_on: ``train``, or ``train+val`` for the two splits one after the other.
        """
        parts = [self.get_features(split, self._get_used_indices(split)) for split in train_on.split("+")]
        if len(parts) == 1:
            return parts[0]
        return LabeledFeatures(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _get_used_indices(self, split: str) -> Sequence[int] | None:
        """Return the items of a split that the data scale keeps; ``None`` for all."""
        return (
            None
            if self.data_scale == 1
            else sample_class_fraction(self.splits[split].labels, self.data_scale, self.seed)
        )

    def get_features(self, split: str, indices: Sequence[int] | None = None) -> LabeledFeatures:
        """Return the features of a split or of some of its items, from the cache if it holds them.

        For some items, rows of the complete split are used if it is in the cache; otherwise only the features of these
        items are computed.

        Args:
            split: ``train``, ``val`` or ``test``.
            indices: item indices, ascending, without repeats; ``None`` for the complete split.

        Raises:
            IncompleteError: an image is missing or came twice.
            NonFiniteError: a feature is not a finite number.
        """
        scope = get_calibration()
        if scope is not None:
            return self._make_up_features(scope, split, indices)
        whole = self._load_cached(split, None)
        if indices is None or len(indices) == len(self.splits[split]):
            return whole or self._compute_once(split, None)
        if whole is not None:
            return LabeledFeatures(whole.features[indices], whole.labels[indices])
        # an entry with these items alone; its key has a digest of the indices
        return self._load_cached(split, indices) or self._compute_once(split, indices)

    def _compute_once(self, split: str, indices: Sequence[int] | None) -> LabeledFeatures:
        """Compute features and store them, or wait for another process that is computing the same ones."""
        fields = self.get_key_fields(split, indices)

        def announce_wait() -> None:
            log_message(f"{self.label}: another process computes the features of {split}; waiting for it")

        with feature_cache.lock_entry(fields, announce_wait) as was_taken:
            found = self._load_cached(split, indices) if was_taken else None
            return found or feature_cache.store_features(fields, *self._compute_features(split, indices))

    def _make_up_features(self, scope: CalibrationScope, split: str, indices: Sequence[int] | None) -> LabeledFeatures:
        """Time the features of some batches, and return as many as a run has, repeated from these with some noise."""
        items = self._get_dataset(split, indices)
        if (split, len(items)) in scope.made_up:  # a run finds them in the cache
            found: LabeledFeatures = scope.made_up[split, len(items)]
            return found
        if not (blocks := [values for values, _ in self._iterate_batches(split, indices)]):
            return LabeledFeatures(np.empty((0, 0), np.float32), np.empty(0, np.int64))
        some = np.concatenate(blocks)
        scope.cache_bytes += some[0].nbytes * len(items)
        count = min(len(items), MAX_MADE_UP_ROWS)
        if split == "train":
            scope.row_factor = len(items) / count
        labels = np.asarray(items.labels, np.int64)[np.linspace(0, len(items) - 1, count).astype(np.int64)]
        noise = np.random.default_rng(0).standard_normal((count, some.shape[1]), np.float32)
        # equal rows would be an easier problem than the real one
        made_up = LabeledFeatures(np.resize(some, noise.shape) + some.std() * noise, labels)
        return scope.made_up.setdefault((split, len(items)), made_up)  # type: ignore[no-any-return]

    def get_key_fields(self, split: str, indices: Sequence[int] | None = None) -> dict[str, Any]:
        """Return everything that can change the features, as plain data: the fields of the cache key.

        Args:
            split: ``train``, ``val`` or ``test``.
            indices: item indices, ascending; ``None`` for the complete split.
        """
        # without this field, features of other items of the same split would be taken for these
        some = {} if indices is None else {"members": compute_digest({"members": list(indices)})}
        runtime, packages = dict[str, Any](), list(CACHE_KEY_PACKAGES)
        if self.recipe.runtime != "torch":
            runtime = {"runtime": self.recipe.runtime, "precision": self.recipe.precision}
            packages += [self.recipe.runtime, "onnx", "onnxruntime"]  # the graph is written with ONNX
        return {
            **some,
            **runtime,
            **self.shared_key_fields,
            "preprocessing": self.splits[split].get_preprocessing(),
            "pool": self.recipe.pool,
            "layer": "last",
            "data": self.data_fingerprint,
            "split": split,
            "items": len(self.splits[split]),
            "dtype": "float32",
            "device": self.device,  # CPU and GPU differ in the last digits
            "software": dict(filter(None, map(find_build, packages))),
        }

    def _load_cached(self, split: str, indices: Sequence[int] | None) -> LabeledFeatures | None:
        """Load features from the cache; ``None`` if they are absent or do not match the backbone."""
        found = feature_cache.load_features(self.get_key_fields(split, indices))
        return found if found is not None and self._matches_backbone(found, self._get_dataset(split, indices)) else None

    def _compute_features(self, split: str, indices: Sequence[int] | None) -> tuple[int, Iterator[FeatureBatch]]:
        """Return the number of items and an iterator over their features, as ``store_features`` takes them."""
        return len(self._get_dataset(split, indices)), self._iterate_batches(split, indices)

    def _get_dataset(self, split: str, indices: Sequence[int] | None) -> LabeledDataset:
        items = self.splits[split]
        return items if indices is None else LabeledSubset(items, indices)

    def _matches_backbone(self, cached: LabeledFeatures, dataset: LabeledDataset) -> bool:
        """Compute the features of the first and the last item again and compare them with the stored ones.

        The code of a backbone is not part of the cache key, so only this finds a plug-in that was edited.
        """
        ends = sorted({0, len(dataset) - 1})
        batch = default_collate([dataset[index] for index in ends])
        again = self._extract_batch(batch["images"])
        kept = np.asarray(cached.features[ends])
        # two images instead of a full batch move the last digits; on a GPU convolutions run in TF32, with 10 bits of
        # mantissa
        tolerance = 1e-4 if self.device == "cpu" else 1e-2
        same = again.shape == kept.shape and bool(np.abs(again - kept).max() <= tolerance * np.abs(kept).max())
        if same and batch["labels"].tolist() == cached.labels[ends].tolist():
            return True
        log_message(f"{self.label}: the cached features are not what this backbone gives now; they are computed again")
        return False

    def _extract_batch(self, images: torch.Tensor) -> NDArray[np.float32]:
        """Compute the features (batch, C) of normalized images (batch, 3, S, S)."""
        if self.network is not None:
            return self.network.compute(images)
        return compute_with_torch(self.created.model, images.to(self.device), self.recipe.pool)

    def _iterate_batches(self, split: str, indices: Sequence[int] | None) -> Iterator[FeatureBatch]:
        """Yield features (b, C) and labels (b,), batch by batch in item order, from all processes of the run.

        Raises:
            IncompleteError: an image is missing or came twice.
            NonFiniteError: a feature is not a finite number.
        """
        count = len(self._get_dataset(split, indices))
        batches = self.compute_batches(split, indices, 0, 1)
        if self.crew is not None:
            num_batches = -(-count // self.recipe.batch_size)
            batches = self.crew.lead_pass(PassOrder(split, indices), num_batches, self.compute_batches)
        what = f"features of {split},"
        with ProgressBar(self.label, "images", count, count_prefix=what, with_rate=False) as progress:
            timed = measure_items(what.rstrip(","), "images", count, batches, lambda batch: len(batch[1]))
            for values, labels in timed:
                progress.advance(num_items=len(values))
                yield values, labels

    def compute_batches(
        self, split: str, indices: Sequence[int] | None, first: int, step: int
    ) -> Iterator[FeatureBatch]:
        """Yield features (b, C) and labels (b,) of every n-th batch, in item order.

        Args:
            split: ``train``, ``val`` or ``test``.
            indices: item indices, ascending; ``None`` for the complete split.
            first: number of the first batch.
            step: from one batch to the next.

        Raises:
            IncompleteError: an image is missing or came twice.
            NonFiniteError: a feature is not a finite number.
        """
        dataset = self._get_dataset(split, indices)
        size = self.recipe.batch_size
        starts = range(first * size, len(dataset), step * size)
        parts: Any = [range(start, min(start + size, len(dataset))) for start in starts]
        loader: DataLoader[Any] = DataLoader(
            # without loader processes, images are decoded in as many threads as the model has, and before it runs: if
            # both ran at once, they would compete for the same processors
            ThreadedItems(dataset, torch.get_num_threads()) if self.recipe.workers == 0 else dataset,  # type: ignore[arg-type]
            batch_sampler=parts,
            num_workers=self.recipe.workers,
            worker_init_fn=report_lost_batches,
            pin_memory=self.device == "cuda",
        )
        for part, batch in zip(parts, loader, strict=True):
            # labels and features must stay in item order; a loader that reorders or repeats items would mix them up
            numbers = batch["item"].tolist()
            if numbers != list(part):
                raise IncompleteError(f"{split} gave images {numbers[:3]}... where image {part.start} was due")
            values = self._extract_batch(batch["images"])
            if not np.isfinite(values).all():
                number = part.start + int(np.flatnonzero(~np.isfinite(values).all(1))[0])
                raise NonFiniteError(f"the features of {split} image {number} are not finite; check the start weights")
            yield values, batch["labels"].numpy()


def make_frozen_backbone(
    request: RunRequest,
    plan: RunPlan,
    recipe: FrozenRecipe,
    splits: Mapping[str, LabeledDataset],
    fingerprint: str,
    task: Task,
) -> FrozenBackbone:
    """Create the backbone in the same way as fine-tuning does, and freeze it.

    Args:
        request: its start weights, seed, data scale and device are used; a random backbone depends on the seed.
        plan: gives the backbone's arguments.
        recipe: gives pooling, batch size and loader processes.
        splits: data set of each split, without augmentation.
        fingerprint: SHA-256 of the data.
        task: gives the name.
    """
    make_deterministic()
    require_feature_runtime(recipe, request.device)
    model = request.describe_model(plan.backbone_kwargs)
    created = request.build_backbone(plan.backbone_kwargs)
    created.model.eval().requires_grad_(False).to(request.device)
    network = None if recipe.runtime == "torch" else make_runtime_network(created.model, recipe, request.card)
    if network is None:
        fuse_linears(created.model)
    start = request.start
    # random parts of the backbone depend on the seed, so the seed is part of the key; loaded weights do not depend on
    # it, so all seeds share one entry
    by_seed = start.init == "random" or request.allow_partial
    weights_key = find_identity_key(start.file, start.weights_key) if start.file else None
    fixes = list_loading_fixes(request.card, start, plan.backbone_kwargs, allow_partial=request.allow_partial)
    identity = {
        "weights": created.weight_file.sha256 if created.weight_file else start.sha256 or RANDOM_INIT,
        "start": start.init,
        "seed": request.seed if by_seed else None,
        "card": request.card.identity_dict(),
        "arguments": dict(plan.backbone_kwargs),
        "model": model.identity_dict(),
        **({"weights_key": weights_key} if weights_key is not None else {}),
        **({"loading_fixes": fixes} if fixes else {}),
        # code that is not known is different code each time
        **({} if model.is_answerable else {"nonce": uuid4().hex}),
    }
    label = f"{task.name} {request.card.name} {request.protocol}"
    scale = request.data_scale
    device, seed = request.device, request.seed
    return FrozenBackbone(created, recipe, splits, seed, scale, fingerprint, device, identity, label, network=network)
