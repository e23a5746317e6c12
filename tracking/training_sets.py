"""The training sets by name: where each is stored, how it is read, and its fingerprint."""

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
    """Return the folder ``lasot`` below a data root, or the data root itself if there is no such folder.

    Args:
        root: the data root.
    """
    return root / "lasot" if (root / "lasot").is_dir() else root


def read_training_videos(name: str, root: Path, recipe: TrackingRecipe) -> Sequence[Video]:
    """Read the videos or still images of a training set.

    Args:
        name: name of the set, as in ``DatasetWeights``, except ``photos``.
        root: the data root.
        recipe: names the GOT-10k sequences to leave out.

    Returns:
        The videos. COCO's objects are videos of one frame each.

    Raises:
        DataError: the set is missing or damaged; the message names the folder and says how to fix it.
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
            f"training set {name} is missing: there is no folder {folder}; put it there, or set "
            f"dataset_weights.{name}=0"
        )
    if name == "got10k":
        excluded = Path(recipe.got10k_exclude).expanduser() if recipe.got10k_exclude else None
        return others.read_got10k_videos(folder, excluded)
    return others.read_trackingnet_videos(folder) if name == "trackingnet" else others.read_coco_stills(folder)


def fingerprint_training_sets(recipe: TrackingRecipe, root: Path) -> dict[str, str]:
    """Return the SHA-256 of each training set that the recipe uses.

    For embedded sets it covers every pixel; for the others names and boxes only, since reading all images would take
    hours.

    Args:
        recipe: names the sets.
        root: the data root.

    Returns:
        64 hexadecimal digits by name of the set.

    Raises:
        DataError: a set is missing or damaged.
    """
    found = {}
    for name in recipe.dataset_weights.nonzero_weights():
        if name == "photos":
            # only the training photographs; the others are kept for the test sequences
            found[name] = photographs.fingerprint_photos(photographs.TRAIN_PHOTOS)
        elif name == "mini_lasot":
            found[name] = fingerprint_folder(ensure_mini_lasot())
        elif name == "coco":
            # all boxes are in this one file, and hashing it is faster than parsing its JSON
            found[name] = sha256_file(root / "coco" / "annotations" / "instances_train2017.json")
        else:
            found[name] = fingerprint_videos(read_training_videos(name, root, recipe))
    return found


def fingerprint_folder(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of all files below a folder.

    Args:
        folder: the folder.
    """
    return sha256_chunks(
        # a zero byte separates name and content, since no file name contains one
        path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    )


def make_pair_samplers(recipe: TrackingRecipe, root: Path) -> list[WeightedPairSampler]:
    """Create a sampler of training pairs for each training set, with its weight.

    Args:
        recipe: training sets, crops and augmentation.
        root: the data root.

    Raises:
        DataError: a set is missing or damaged.
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
        # photographs are always exact and readable, so only the other sets need augmentation and skip_unreadable
        videos = read_training_videos(name, root, recipe)
        maker = VideoPairSampler(
            videos, sizes, jitter, recipe.max_frame_gap, recipe.pair_augmentation(), recipe.skip_unreadable
        )
        sources.append(WeightedPairSampler(maker, weight))
    return sources
