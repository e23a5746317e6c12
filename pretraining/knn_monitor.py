"""The health check: k-NN on frozen features, on items of the training split only."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import center_crop, resize

from backbones.features import pooled
from engine.knn import vote
from foundation.errors import DataError
from pretraining.data.gpu_augmentation import Feed
from pretraining.data.readers import Pool
from pretraining.recipe import Health

BATCH = 256
DRAW = "pretraining-health-1"


class HealthCheck:
    """Classifies some training images by the vote of others; the test split is never touched.

    A high number proves little (the images were trained on); one that stays at chance, or falls, shows a collapse.

    Args:
        pool: labelled images.
        recipe: how many of them, and the vote.
        feed: gives size and normalisation.
    """

    def __init__(self, pool: Pool, recipe: Health, feed: Feed) -> None:
        assert pool.labels is not None, "only labelled sets are checked"
        self.pool, self.recipe, self.feed = pool, recipe, feed
        ranked = sorted(range(len(pool)), key=lambda item: hashlib.sha256(f"{DRAW}:{item}".encode()).digest())
        self.members = ranked[: recipe.bank + recipe.queries]
        if len(self.members) <= recipe.queries:
            raise DataError(f"{len(pool)} images are too few for {recipe.queries} queries; set health.queries lower")
        self.labels = np.array([pool.labels[item] for item in self.members], np.int64)
        self._pixels: Tensor | None = None

    def __call__(self, encoder: nn.Module) -> float:
        """The share of queries that are classified rightly, in %."""
        if self._pixels is None:
            self._pixels = torch.stack([self._image(item) for item in self.members])
        training, device = encoder.training, self.feed.mean.device
        encoder.eval()
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            parts = [pooled(encoder, self.feed.normalised(part.to(device))) for part in _batches(self._pixels)]
        encoder.train(training)
        queries = self.recipe.queries
        features = torch.cat(parts).float().cpu().numpy()
        votes = vote(
            features[queries:], self.labels[queries:], features[:queries], self.recipe.k, self.recipe.temperature
        )
        return 100 * float((votes.predictions == self.labels[:queries]).mean())

    def _image(self, item: int) -> Tensor:
        """Shorter side resized to the input's (bicubic), centre cropped; uint8."""
        image = center_crop(resize(self.pool.image(item), self.feed.size, interpolation=3), self.feed.size)
        return torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1)


def _batches(values: Tensor) -> list[Tensor]:
    return [values[start : start + BATCH] for start in range(0, len(values), BATCH)]
