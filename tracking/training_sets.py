"""The training sets by name: where each is stored, how it is read, and its fingerprint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data import photographs
from engine.data.file_hashes import FULL_COVERAGE, hash_files
from foundation.errors import DataError
from foundation.files import sha256_chunks
from foundation.run_scope import memoize_in_run
from tracking.data.frame_hashes import SetContent, fingerprint_videos, hash_folder_frames, hash_frame_files, hash_frames
from tracking.data.mini_lasot import ensure_mini_lasot
from tracking.data.pair_dataset import WeightedPairSampler
from tracking.data.readers import lasot, others
from tracking.data.readers.folder import read_folder_videos
from tracking.data.readers.got10k_splits import GOT10K_TRAIN_SEQUENCES, INDEX_LISTS, WHOLE_GOT10K, Got10kChoice
from tracking.data.readers.sequence import Video
from tracking.data.readers.set_folders import find_set_folder
from tracking.data.synthetic_pairs import PhotoPairSampler
from tracking.data.video_pairs import VideoPairSampler
from tracking.recipe import TrackingRecipe

SET_FOLDER_NAMES = {
    "lasot": ("lasot", "LaSOTBenchmark"),
    "got10k": ("got10k", "GOT-10k", "got10k/full_data", "GOT-10k/full_data"),
    "trackingnet": ("trackingnet",),
    "coco": ("coco", "mscoco", "coco2017"),
}
"""Names of the folders of the training sets below the data root; their case does not count."""
SET_MARKS = {
    "lasot": (lasot.TEST_LIST_FILE, lasot.TRAIN_LIST_FILE, "*.zip"),
    "got10k": ("train/list.txt",),
    "trackingnet": ("TRAIN_*",),
    "coco": (others.COCO_ANNOTATION,),
}
"""What is in these folders. A folder without it is taken if there is no other, and its reader says what is missing."""


def find_lasot_root(root: Path) -> Path:
    """Return LaSOT's folder below a data root, or the data root itself if there is no such folder.

    Args:
        root: the data root.
    """
    return find_set_folder(root, SET_FOLDER_NAMES["lasot"], SET_MARKS["lasot"]) or root


def find_training_folder(name: str, root: Path) -> Path:
    """Return the folder of GOT-10k, TrackingNet or COCO below a data root.

    Args:
        name: name of the set, as in ``DatasetWeights``.
        root: the data root.

    Raises:
        DataError: there is none.
    """
    folder = find_set_folder(root, SET_FOLDER_NAMES[name], SET_MARKS[name])
    if folder is None:
        raise DataError(
            f"training set {name} is missing: there is no folder {root / name}; put it there, or set "
            f"dataset_weights.{name}=0"
        )
    return folder


def read_training_videos(name: str, root: Path, got10k: Got10kChoice = WHOLE_GOT10K) -> Sequence[Video]:
    """Read the videos or still images of a training set.

    Args:
        name: name of the set, as in ``DatasetWeights``, except ``photos``.
        root: the data root.
        got10k: which sequences of GOT-10k are used.

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
        return read_folder_videos(root, "train")
    folder = find_training_folder(name, root)
    if name == "got10k":
        return others.read_got10k_videos(folder, got10k)
    return others.read_trackingnet_videos(folder) if name == "trackingnet" else others.read_coco_stills(folder)


def fingerprint_training_sets(recipe: TrackingRecipe, root: Path) -> dict[str, str]:
    """Return the SHA-256 of each training set that the recipe uses; see ``describe_training_sets``.

    Args:
        recipe: names the sets.
        root: the data root.

    Returns:
        64 hexadecimal digits by name of the set.

    Raises:
        DataError: a set is missing or damaged.
    """
    return {name: content.fingerprint for name, content in describe_training_sets(recipe, root).items()}


def describe_training_sets(recipe: TrackingRecipe, root: Path) -> dict[str, SetContent]:
    """Return the fingerprint of each training set that the recipe uses, and which bytes it covers.

    It is over names, boxes, visibility and the content of all frames, as far as ``hash_files`` reads them.

    Args:
        recipe: names the sets.
        root: the data root.

    Raises:
        DataError: a set is missing or damaged, or a frame is missing and ``skip_unreadable`` is off.
    """
    return {
        name: _describe_training_set(name, root, recipe.got10k_choice(), recipe.skip_unreadable)
        for name in recipe.dataset_weights.nonzero_weights()
    }


@memoize_in_run
def _describe_training_set(name: str, root: Path, got10k: Got10kChoice, skip_missing: bool) -> SetContent:
    if name == "photos":
        # only the training photographs; the others are kept for the test sequences
        return SetContent(photographs.fingerprint_photos(photographs.TRAIN_PHOTOS), FULL_COVERAGE)
    if name == "mini_lasot":
        return SetContent(fingerprint_folder(ensure_mini_lasot()), FULL_COVERAGE)
    videos = read_training_videos(name, root, got10k)
    if isinstance(videos, others.StillImages):
        return _describe_still_images(videos, find_training_folder(name, root), skip_missing)
    if name == "lasot":
        return fingerprint_lasot_videos(videos, find_lasot_root(root))
    if name == "trackfolder":
        return fingerprint_videos(videos, hash_folder_frames(root, "train"))
    return fingerprint_videos(videos, hash_frames(videos, find_training_folder(name, root), skip_missing=skip_missing))


def fingerprint_lasot_videos(videos: Sequence[Video], lasot_root: Path) -> SetContent:
    """Return what sequences in LaSOT's layout contain; zips and folders have the same fingerprint.

    Args:
        videos: the sequences.
        lasot_root: the folder with the category folders or zips.

    Raises:
        DataError: a frame cannot be read.
    """
    return fingerprint_videos(videos, hash_frames(videos, lasot_root, "crc32"))


def _describe_still_images(stills: others.StillImages, folder: Path, skip_missing: bool) -> SetContent:
    """Return what COCO contains: the file of annotations, and the images that have a usable box."""
    annotation = hash_files(folder, [others.COCO_ANNOTATION]).digests[0]
    names = [stills.file_names[index] for index in np.unique(stills.image_indices)]
    # from the parent of train2017, wherever that is: the same images are the same training set
    used = [f"{stills.folder.name}/{name}" for name in names]
    images = hash_frame_files(stills.folder.parent, used, skip_missing=skip_missing)
    lines = (f"{name}\0{digest}\n".encode() for name, digest in zip(used, images.digests, strict=True))
    return SetContent(sha256_chunks([annotation.encode(), *lines]), images.coverage)


@memoize_in_run
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


OFFICIAL_TRAINING_COUNTS = {"lasot": 1_120, "got10k": GOT10K_TRAIN_SEQUENCES, "trackingnet": 30_132}
"""Sequences of the official training sets. Of COCO only objects of a certain size are used, so images are counted."""
COCO_TRAIN_IMAGES = 118_287


def list_missing_training(recipe: TrackingRecipe, root: Path) -> tuple[str, ...]:
    """Return which training sets are not complete, one sentence each: such a run has a board of its own.

    Args:
        recipe: names the sets.
        root: the data root.

    Raises:
        DataError: a set is missing or damaged.
    """
    notes = []
    for name in recipe.dataset_weights.nonzero_weights():
        if name not in (*OFFICIAL_TRAINING_COUNTS, "coco"):
            continue
        videos = read_training_videos(name, root, recipe.got10k_choice())
        if isinstance(videos, others.StillImages):
            found, expected, items = len(videos.file_names), COCO_TRAIN_IMAGES, "images"
        else:
            expected, items = OFFICIAL_TRAINING_COUNTS[name], "sequences"
            if name == "got10k" and recipe.got10k_split in INDEX_LISTS:
                expected = INDEX_LISTS[recipe.got10k_split].num_sequences
            found = len(videos)
        if found != expected:
            notes.append(f"training set {name} has {found:,} of {expected:,} {items}, which is another training set")
    return tuple(notes)


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
        videos = read_training_videos(name, root, recipe.got10k_choice())
        maker = VideoPairSampler(
            videos, sizes, jitter, recipe.max_frame_gap, recipe.pair_augmentation(), recipe.skip_unreadable
        )
        sources.append(WeightedPairSampler(maker, weight))
    return sources
