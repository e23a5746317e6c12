"""Training sets by name: what each is made of, and where it is looked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.data import photographs
from foundation.errors import DataError
from foundation.files import sha256_chunks, sha256_file
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair_dataset import WeightedPairSampler
from tracking.data.readers import lasot, others
from tracking.data.readers.folder import read_folder_videos
from tracking.data.readers.sequence import Video, fingerprint_videos
from tracking.data.synthetic_pairs import PhotoPairSampler
from tracking.data.video_pairs import VideoPairSampler
from tracking.recipe import TrackingRecipe


def find_lasot_root(root: Path) -> Path:
    """LaSOT's folder below a data root, or the root itself where it is LaSOT's."""
    return root / "lasot" if (root / "lasot").is_dir() else root


def read_training_videos(name: str, root: Path, recipe: TrackingRecipe) -> Sequence[Video]:
    """The videos (or stills) of a training set.

    Raises:
        DataError: naming the folder and the mend.
    """
    if name == "mini_lasot":
        return lasot.read_train_videos(ensure_mini_lasot())
    if name == "lasot":
        return lasot.read_train_videos(find_lasot_root(root))
    if name == "trackfolder":
        if not (root / "train").is_dir():
            raise DataError(
                f"there is no folder {root / 'train'} with sequences to train on; make it, or set "
                "dataset_weights.trackfolder=0"
            )
        return read_folder_videos(root / "train")
    folder = root / name
    if not folder.is_dir():
        raise DataError(
            f"training set {name} is not there: no folder {folder}; put it there, or set dataset_weights.{name}=0"
        )
    if name == "got10k":
        excluded = Path(recipe.got10k_exclude).expanduser() if recipe.got10k_exclude else None
        return others.read_got10k_videos(folder, excluded)
    return others.read_trackingnet_videos(folder) if name == "trackingnet" else others.read_coco_stills(folder)


def fingerprint_training_sets(recipe: TrackingRecipe, root: Path) -> dict[str, str]:
    """SHA-256 of each training set: of boxes and names; of embedded ones of every pixel.

    Raises:
        DataError: a set is missing.
    """
    found = {}
    for name in recipe.dataset_weights.nonzero_weights():
        if name == "photos":
            found[name] = photographs.fingerprint_photos(photographs.TRAIN_PHOTOS)
        elif name == "mini_lasot":
            found[name] = fingerprint_folder(ensure_mini_lasot())
        elif name == "coco":
            found[name] = sha256_file(root / "coco" / "annotations" / "instances_train2017.json")
        else:
            found[name] = fingerprint_videos(read_training_videos(name, root, recipe))
    return found


def fingerprint_folder(folder: Path) -> str:
    """SHA-256 over names and content of all files below a folder."""
    return sha256_chunks(
        path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


def make_pair_samplers(recipe: TrackingRecipe, root: Path) -> list[WeightedPairSampler]:
    """Makers of pairs with their weights.

    Raises:
        DataError: a set is missing or not sound.
    """
    sizes, jitter = recipe.crop_sizes(), recipe.search_jitter()
    sources = []
    for name, weight in recipe.dataset_weights.nonzero_weights().items():
        if name == "photos":
            sources.append(
                WeightedPairSampler(
                    PhotoPairSampler(photographs.load_photos(photographs.TRAIN_PHOTOS), sizes, jitter), weight
                )
            )
            continue
        videos = read_training_videos(name, root, recipe)
        maker = VideoPairSampler(
            videos, sizes, jitter, recipe.max_frame_gap, recipe.pair_augmentation(), recipe.skip_unreadable
        )
        sources.append(WeightedPairSampler(maker, weight))
    return sources
