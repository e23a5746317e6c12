"""One card per data set of photographs: counts, metrics, licence, reader. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.task import MetricSpec
from results.statistics.metric_statistics import MetricStatistic

TOP1 = MetricSpec("top1", "%", True, MetricStatistic("mean", ("label == prediction",)))
TOP5 = MetricSpec("top5", "%", True, MetricStatistic("mean", ("place < 5",)))
MEAN_PER_CLASS = MetricSpec(
    "mean_per_class", "%", True, MetricStatistic("class_mean", ("label == prediction", "label"))
)

_COMMON_PROTOCOLS = ("finetune", "linear", "linear_sgd", "lowshot", "knn")


@dataclass(frozen=True)
class ImageDatasetCard:
    """What is known of a data set before it is read.

    Attributes:
        name: name of the task.
        summary: one line for listings.
        reader: ``module:function`` in ``readers/`` that reads it.
        source: origin and licence, and where the files belong below the data root.
        official_counts: images of each split of the complete data set, before val is cut from train.
        expected: images of each split as used; only for splits whose size does not depend on that cut.
        num_classes: number of classes of the complete data set; ``None`` if it is not known before reading.
        metrics: the first is the one that papers report for this data set.
        protocols: the first is the default.
        val_fraction: fraction of each class of train that becomes val if the data set has no val split.
        torchvision_class: name of torchvision's class that can download the data set; ``None`` if there is none.
        data_options: see ``Task.data_options``.
    """

    name: str
    summary: str
    reader: str
    source: str
    official_counts: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    num_classes: int | None = None
    metrics: tuple[MetricSpec, ...] = (TOP1, MEAN_PER_CLASS)
    protocols: tuple[str, ...] = _COMMON_PROTOCOLS
    val_fraction: float = 0.1
    torchvision_class: str | None = None
    data_options: tuple[str, ...] = ()


_IMAGE_DATASETS = (
    ImageDatasetCard(
        name="cifar10",
        summary="CIFAR-10: 60,000 photographs of 32x32 pixels, 10 classes",
        reader="cifar:read_cifar10",
        source="Krizhevsky 2009, for research; cifar-10-python.tar.gz unpacked into the data root",
        official_counts={"train": 50_000, "test": 10_000},
        expected={"train": 45_000, "val": 5_000, "test": 10_000},  # a tenth of each class of train becomes val
        num_classes=10,
        protocols=(*_COMMON_PROTOCOLS, "finetune_tan", "finetune_32"),
        torchvision_class="CIFAR10",
    ),
    ImageDatasetCard(
        name="cifar100",
        summary="CIFAR-100: 60,000 photographs of 32x32 pixels, 100 fine classes",
        reader="cifar:read_cifar100",
        source="Krizhevsky 2009, for research; cifar-100-python.tar.gz unpacked into the data root",
        official_counts={"train": 50_000, "test": 10_000},
        expected={"train": 45_000, "val": 5_000, "test": 10_000},
        num_classes=100,
        protocols=(*_COMMON_PROTOCOLS, "finetune_tan", "finetune_32"),
        torchvision_class="CIFAR100",
    ),
    ImageDatasetCard(
        name="flowers",
        summary="Oxford Flowers-102: 8,189 photographs, 102 classes, 10 training images each",
        reader="fine_grained:read_flowers",
        source="Nilsback and Zisserman 2008, for research; jpg/, imagelabels.mat and setid.mat in flowers-102/",
        official_counts={"train": 1_020, "val": 1_020, "test": 6_149},
        expected={"train": 1_020, "val": 1_020, "test": 6_149},
        num_classes=102,
        metrics=(MEAN_PER_CLASS, TOP1),
        torchvision_class="Flowers102",
    ),
    ImageDatasetCard(
        name="pets",
        summary="Oxford-IIIT Pet: 7,349 photographs, 37 breeds of cats and dogs",
        reader="fine_grained:read_pets",
        source="Parkhi et al. 2012, CC BY-SA 4.0; images/ and annotations/ in oxford-iiit-pet/",
        official_counts={"train": 3_680, "test": 3_669},
        expected={"test": 3_669},  # classes differ in size, so train and val depend on rounding within each class
        num_classes=37,
        metrics=(MEAN_PER_CLASS, TOP1),
        val_fraction=0.2,  # about 20 of the 100 training images per breed
        torchvision_class="OxfordIIITPet",
    ),
    ImageDatasetCard(
        name="aircraft",
        summary="FGVC-Aircraft: 10,000 photographs, 100 variants",
        reader="fine_grained:read_aircraft",
        source="Maji et al. 2013, non-commercial research; the archive unpacked as fgvc-aircraft-2013b/",
        official_counts={"train": 3_334, "val": 3_333, "test": 3_333},  # the only one besides Flowers with its own val
        expected={"train": 3_334, "val": 3_333, "test": 3_333},
        num_classes=100,
        metrics=(MEAN_PER_CLASS, TOP1),
        torchvision_class="FGVCAircraft",
    ),
    ImageDatasetCard(
        name="cars",
        summary="Stanford Cars: 16,185 photographs, 196 models",
        reader="fine_grained:read_cars",
        source="Krause et al. 2013, non-commercial research (the authors' page is gone); devkit/, cars_train/, "
        "cars_test/ and cars_test_annos_withlabels.mat in stanford_cars/",
        official_counts={"train": 8_144, "test": 8_041},
        expected={"test": 8_041},
        num_classes=196,
        val_fraction=0.2,
    ),
    ImageDatasetCard(
        name="inat18",
        summary="iNaturalist 2018: 461,939 photographs, 8,142 species, a long tail; val is the test split",
        reader="inat:read_inat18",
        source="Van Horn et al. 2018, non-commercial research; train_val2018/, train2018.json and val2018.json in "
        "inat2018/",
        official_counts={"train": 437_513, "test": 24_426},  # the labels of the competition's own test are not public
        expected={"test": 24_426},
        num_classes=8_142,
        val_fraction=0.05,
    ),
    ImageDatasetCard(
        name="imagenet",
        summary="ImageNet-1k: 1,331,167 photographs, 1,000 classes; val is the test split",
        reader="imagenet:read_imagenet",
        source="Russakovsky et al. 2015, non-commercial research; imagenet/train, imagenet/val, one folder per synset",
        official_counts={"train": 1_281_167, "test": 50_000},  # the labels of the official test split are not public
        expected={"test": 50_000},
        num_classes=1_000,
        metrics=(TOP1, TOP5, MEAN_PER_CLASS),
        protocols=("finetune", "finetune_improved", "finetune_distill", "linear", "linear_sgd", "lowshot", "knn"),
        val_fraction=0.01,  # about 13 images per class
    ),
    ImageDatasetCard(
        name="imagefolder",
        summary="your own images: --data-root DIR with train/CLASS/*.jpg and test/CLASS/*.jpg, class folders alone, "
        "or a table of labels (--labels FILE)",
        reader="folders:read_imagefolder",
        source="your own images; name the folder that holds them with --data-root",
        protocols=(*_COMMON_PROTOCOLS, "finetune_distill"),
        val_fraction=0.15,
        data_options=("layout", "nested_classes", "exclude", "labels"),
    ),
)

# the order is that of listings
IMAGE_DATASETS = {card.name: card for card in _IMAGE_DATASETS}
