"""The health check of a pre-training: k-NN on frozen features of training images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import center_crop, resize

from backbones.features import extract_pooled
from engine.knn import predict_knn
from engine.training_checks.bank_size import require_enough_voters
from foundation.errors import DataError
from foundation.hash_order import order_by_hash
from pretraining.data.gpu_augmentation import BatchPreprocessor
from pretraining.data.readers import ImagePool
from pretraining.recipe import KnnMonitorSettings

FEATURE_BATCH_SIZE = 256
ITEM_ORDER_SALT = "pretraining-health-1"


class KnnMonitor:
    """Classifies some training images by the votes of others; the test split is never used.

    A high accuracy proves little, because the encoder was trained on these images. An accuracy that stays at chance
    level or falls shows that the features collapse.

    Args:
        pool: labeled images.
        recipe: number of images, and the parameters of the vote.
        preprocessor: gives input size and normalization.
    """

    def __init__(self, pool: ImagePool, recipe: KnnMonitorSettings, preprocessor: BatchPreprocessor) -> None:
        assert pool.labels is not None, "only labeled sets are checked"
        self.pool, self.recipe, self.preprocessor = pool, recipe, preprocessor
        # the order by hash gives the same images in every run, whatever its seed, so that curves are comparable
        ranked = order_by_hash(range(len(pool)), ITEM_ORDER_SALT)
        # the first ``num_queries`` are the queries, the rest is the bank
        self.item_indices = ranked[: recipe.bank_size + recipe.num_queries]
        require_monitor_images(len(pool), recipe)
        self.labels = np.array([pool.labels[item] for item in self.item_indices], np.int64)
        self._pixels: Tensor | None = None

    def __call__(self, encoder: nn.Module) -> float:
        """Return the accuracy on the queries, in percent.

        Args:
            encoder: a timm model on the device of the preprocessor; its training mode is restored afterwards.
        """
        if self._pixels is None:  # decoded once, at the first check
            self._pixels = torch.stack([self._load_image(item) for item in self.item_indices])
        training, device = encoder.training, self.preprocessor.mean.device
        encoder.eval()
        # fp32, whatever the precision of the training
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
        """Load an image with its shorter side resized to the input size (bicubic) and the center cropped.

        Returns:
            (3, S, S) uint8.
        """
        image = center_crop(
            resize(self.pool.load_image(item), self.preprocessor.img_size, interpolation=3), self.preprocessor.img_size
        )
        return torch.from_numpy(np.array(image, np.uint8)).permute(2, 0, 1)


def require_monitor_images(num_images: int, recipe: KnnMonitorSettings) -> None:
    """Require enough images for the queries and for those that vote.

    Args:
        num_images: number of labeled images.
        recipe: number of queries, and of neighbors that vote.

    Raises:
        DataError: there are too few images for the queries.
        UserError: fewer images are left to vote than ``k``.
    """
    if num_images <= recipe.num_queries:
        raise DataError(
            f"{num_images} images are too few for {recipe.num_queries} queries; set knn_monitor.num_queries lower"
        )
    require_enough_voters(recipe.k, min(recipe.bank_size, num_images - recipe.num_queries), "knn_monitor.k")


def _split_batches(values: Tensor) -> list[Tensor]:
    return [values[start : start + FEATURE_BATCH_SIZE] for start in range(0, len(values), FEATURE_BATCH_SIZE)]
