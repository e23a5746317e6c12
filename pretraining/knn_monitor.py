"""The health check: k-NN on frozen features, on items of the training split only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import center_crop, resize

from backbones.features import extract_pooled
from engine.knn import predict_knn
from foundation.errors import DataError
from foundation.hash_order import order_by_hash
from pretraining.data.gpu_augmentation import BatchPreprocessor
from pretraining.data.readers import ImagePool
from pretraining.recipe import KnnMonitorSettings

FEATURE_BATCH_SIZE = 256
ITEM_ORDER_SALT = "pretraining-health-1"


class KnnMonitor:
    """Classifies some training images by the vote of others; the test split is never touched.

    A high number proves little (the images were trained on); one that stays at chance, or falls, shows a collapse.

    Args:
        pool: labelled images.
        recipe: how many of them, and the vote.
        preprocessor: gives size and normalisation.
    """

    def __init__(self, pool: ImagePool, recipe: KnnMonitorSettings, preprocessor: BatchPreprocessor) -> None:
        assert pool.labels is not None, "only labelled sets are checked"
        self.pool, self.recipe, self.preprocessor = pool, recipe, preprocessor
        ranked = order_by_hash(range(len(pool)), ITEM_ORDER_SALT)
        self.item_indices = ranked[: recipe.bank_size + recipe.num_queries]
        if len(self.item_indices) <= recipe.num_queries:
            raise DataError(
                f"{len(pool)} images are too few for {recipe.num_queries} queries; set knn_monitor.num_queries lower"
            )
        self.labels = np.array([pool.labels[item] for item in self.item_indices], np.int64)
        self._pixels: Tensor | None = None

    def __call__(self, encoder: nn.Module) -> float:
        """The share of queries that are classified rightly, in %."""
        if self._pixels is None:
            self._pixels = torch.stack([self._load_image(item) for item in self.item_indices])
        training, device = encoder.training, self.preprocessor.mean.device
        encoder.eval()
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            parts = [
                extract_pooled(encoder, self.preprocessor.normalize_images(part.to(device)))
                for part in _split_batches(self._pixels)
            ]
        encoder.train(training)
        queries = self.recipe.num_queries
        features = torch.cat(parts).float().cpu().numpy()
        votes = predict_knn(
            features[queries:], self.labels[queries:], features[:queries], self.recipe.k, self.recipe.temperature
        )
        return 100 * float((votes.predictions == self.labels[:queries]).mean())

    def _load_image(self, item: int) -> Tensor:
        """Shorter side resized to the input's (bicubic), centre cropped; uint8."""
        image = center_crop(
            resize(self.pool.load_image(item), self.preprocessor.img_size, interpolation=3), self.preprocessor.img_size
        )
        return torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1)


def _split_batches(values: Tensor) -> list[Tensor]:
    return [values[start : start + FEATURE_BATCH_SIZE] for start in range(0, len(values), FEATURE_BATCH_SIZE)]
