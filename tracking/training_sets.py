"""Training sets by name: what each is made of, and where it is looked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from engine.data import photographs
from foundation.errors import DataError
from foundation.files import sha256_file
from tracking.data.mini_lasot import mini_lasot
from tracking.data.pair_dataset import WeightedSource
from tracking.data.readers import lasot, others
from tracking.data.readers.folder import folder_videos
from tracking.data.readers.sequence import Video, fingerprint
from tracking.data.synthetic_pairs import PhotoPairs
from tracking.data.video_pairs import VideoPairs
from tracking.recipe import TrackingRecipe


def lasot_root(root: Path) -> Path:
    """LaSOT's folder below a data root, or the root itself where it is LaSOT's."""
    return root / "lasot" if (root / "lasot").is_dir() else root


def training_videos(name: str, root: Path, recipe: TrackingRecipe) -> Sequence[Video]:
    """The videos (or stills) of a training set.

    Raises:
        DataError: naming the folder and the mend.
    """
    if name == "mini_lasot":
        return lasot.train_videos(mini_lasot())
    if name == "lasot":
        return lasot.train_videos(lasot_root(root))
    if name == "trackfolder":
        if not (root / "train").is_dir():
            raise DataError(f"there is no folder {root / 'train'} with sequences to train on; make it, or set "
                            "sources.trackfolder=0")  # fmt: skip
        return folder_videos(root / "train")
    folder = root / name
    if not folder.is_dir():
        raise DataError(f"training set {name} is not there: no folder {folder}; put it there, or set sources.{name}=0")
    if name == "got10k":
        excluded = Path(recipe.got10k_exclude).expanduser() if recipe.got10k_exclude else None
        return others.got10k_videos(folder, excluded)
    return others.trackingnet_videos(folder) if name == "trackingnet" else others.coco_stills(folder)


def fingerprints(recipe: TrackingRecipe, root: Path) -> dict[str, str]:
    """SHA-256 of each training set: of boxes and names; of embedded ones of every pixel.

    Raises:
        DataError: a set is missing.
    """
    found = {}
    for name in recipe.sources.used():
        if name == "photos":
            found[name] = photographs.fingerprint(photographs.TRAIN)
        elif name == "mini_lasot":
            found[name] = files_fingerprint(mini_lasot())
        elif name == "coco":
            found[name] = sha256_file(root / "coco" / "annotations" / "instances_train2017.json")
        else:
            found[name] = fingerprint(training_videos(name, root, recipe))
    return found


def files_fingerprint(folder: Path) -> str:
    """SHA-256 over names and content of all files below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def training_sources(recipe: TrackingRecipe, root: Path) -> list[WeightedSource]:
    """Makers of pairs with their weights.

    Raises:
        DataError: a set is missing or not sound.
    """
    sizes, jitter = recipe.crop_sizes(), recipe.jitter()
    sources = []
    for name, weight in recipe.sources.used().items():
        if name == "photos":
            sources.append(WeightedSource(PhotoPairs(photographs.load(photographs.TRAIN), sizes, jitter), weight))
            continue
        videos = training_videos(name, root, recipe)
        maker = VideoPairs(videos, sizes, jitter, recipe.gap, recipe.augmentation(), recipe.skip_bad)
        sources.append(WeightedSource(maker, weight))
    return sources
