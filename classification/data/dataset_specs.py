"""The sets of photographs as data: counts, metrics, licences. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.task import MetricSpec

TOP1, MEAN, TOP5 = (MetricSpec(name, "%", True) for name in ("top1", "mean_per_class", "top5"))


_COMMON = ("finetune", "linear", "linear_sgd", "lowshot", "knn")


@dataclass(frozen=True)
class ImageSet:
    """What is known of a set before it is read.

    Attributes:
        name: of the task.
        summary: one line.
        reader: ``module:function`` in ``readers`` that reads it.
        source: licence, and where its parts belong below the data root.
        official: images by split of the whole set, before a val split is cut from train.
        expected: images by split as used; only those that do not depend on the cut.
        classes: of the whole set, or ``None``.
        metrics: the first is the field's custom for the set.
        protocols: the first is the default.
        val_share: share of each class that is cut from train for val where the set has no val split.
        download: torchvision's class, where it can download the set.
    """

    name: str
    summary: str
    reader: str
    source: str
    official: Mapping[str, int] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)
    classes: int | None = None
    metrics: tuple[MetricSpec, ...] = (TOP1, MEAN)
    protocols: tuple[str, ...] = _COMMON
    val_share: float = 0.1
    download: str | None = None


_ALL = (
    ImageSet(
        name="cifar10",
        summary="CIFAR-10: 60,000 photographs of 32x32 pixels, 10 classes",
        reader="cifar:cifar10",
        source="Krizhevsky 2009, for research; cifar-10-python.tar.gz unpacked into the data root",
        official={"train": 50_000, "test": 10_000},
        expected={"train": 45_000, "val": 5_000, "test": 10_000},
        classes=10,
        protocols=(*_COMMON, "finetune_tan", "finetune_32"),
        download="CIFAR10",
    ),
    ImageSet(
        name="cifar100",
        summary="CIFAR-100: 60,000 photographs of 32x32 pixels, 100 fine classes",
        reader="cifar:cifar100",
        source="Krizhevsky 2009, for research; cifar-100-python.tar.gz unpacked into the data root",
        official={"train": 50_000, "test": 10_000},
        expected={"train": 45_000, "val": 5_000, "test": 10_000},
        classes=100,
        protocols=(*_COMMON, "finetune_tan", "finetune_32"),
        download="CIFAR100",
    ),
    ImageSet(
        name="flowers",
        summary="Oxford Flowers-102: 8,189 photographs, 102 classes, 10 training images each",
        reader="fine_grained:flowers",
        source="Nilsback and Zisserman 2008, for research; jpg/, imagelabels.mat and setid.mat in flowers-102/",
        official={"train": 1_020, "val": 1_020, "test": 6_149},
        expected={"train": 1_020, "val": 1_020, "test": 6_149},
        classes=102,
        metrics=(MEAN, TOP1),
        download="Flowers102",
    ),
    ImageSet(
        name="pets",
        summary="Oxford-IIIT Pet: 7,349 photographs, 37 breeds of cats and dogs",
        reader="fine_grained:pets",
        source="Parkhi et al. 2012, CC BY-SA 4.0; images/ and annotations/ in oxford-iiit-pet/",
        official={"train": 3_680, "test": 3_669},
        expected={"test": 3_669},
        classes=37,
        metrics=(MEAN, TOP1),
        val_share=0.2,
        download="OxfordIIITPet",
    ),
    ImageSet(
        name="aircraft",
        summary="FGVC-Aircraft: 10,000 photographs, 100 variants",
        reader="fine_grained:aircraft",
        source="Maji et al. 2013, non-commercial research; the archive unpacked as fgvc-aircraft-2013b/",
        official={"train": 3_334, "val": 3_333, "test": 3_333},
        expected={"train": 3_334, "val": 3_333, "test": 3_333},
        classes=100,
        metrics=(MEAN, TOP1),
        download="FGVCAircraft",
    ),
    ImageSet(
        name="cars",
        summary="Stanford Cars: 16,185 photographs, 196 models",
        reader="fine_grained:cars",
        source="Krause et al. 2013, non-commercial research (the authors' page is gone); devkit/, cars_train/, "
        "cars_test/ and cars_test_annos_withlabels.mat in stanford_cars/",
        official={"train": 8_144, "test": 8_041},
        expected={"test": 8_041},
        classes=196,
        val_share=0.2,
    ),
    ImageSet(
        name="inat18",
        summary="iNaturalist 2018: 461,939 photographs, 8,142 species, a long tail; val is the test split",
        reader="inat:inat18",
        source="Van Horn et al. 2018, non-commercial research; train_val2018/, train2018.json and val2018.json in "
        "inat2018/",
        official={"train": 437_513, "test": 24_426},
        expected={"test": 24_426},
        classes=8_142,
        val_share=0.05,
    ),
    ImageSet(
        name="imagenet",
        summary="ImageNet-1k: 1,331,167 photographs, 1,000 classes; val is the test split",
        reader="folders:imagenet",
        source="Russakovsky et al. 2015, non-commercial research; imagenet/train and imagenet/val, a folder a synset",
        official={"train": 1_281_167, "test": 50_000},
        expected={"test": 50_000},
        classes=1_000,
        metrics=(TOP1, TOP5, MEAN),
        protocols=("finetune", "finetune_improved", "linear", "linear_sgd", "lowshot", "knn"),
        val_share=0.01,
    ),
    ImageSet(
        name="imagefolder",
        summary="your own images: --data-root DIR with train/CLASS/*.jpg and test/CLASS/*.jpg, or class folders alone",
        reader="folders:imagefolder",
        source="your own images, a folder a class; name the folder above with --data-root",
        val_share=0.15,
    ),
)

SETS = {card.name: card for card in _ALL}
