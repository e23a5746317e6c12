"""Guards of a user's own sequences and of the training sets of trackers."""

from __future__ import annotations

from tests.guards import Guard

WILD = "tests/wild_data/test_videos.py"
TRAINING = "tests/tracking/data/readers/test_training_sets.py"

GUARDS = {
    "no file of a user's sequences is left out": Guard(
        "tracking/data/readers/folder.py",
        '    require_all_used(tree, used, describe_unused(unused[0]) if unused else "")\n',
        "",
        f"{WILD} -k depth",
    ),
    "no sequence without an annotation is left out": Guard(
        "tracking/data/sequence_folders/find_sequences.py",
        "    _require_annotations(images, annotations, where)\n",
        "",
        f"{WILD} -k sequences",
        soak=True,
    ),
    "a frame that is missing with its box is noticed": Guard(
        "tracking/data/sequence_folders/frame_order.py",
        "    if is_counter and wide.size:",
        "    if False:",
        f"{WILD} -k missing",
        soak=True,
    ),
    "corners are not sizes": Guard(
        "tracking/data/sequence_folders/annotation_causes.py",
        "    if as_corners:",
        "    if False:",
        f"{WILD} -k corners",
        soak=True,
    ),
    "another list is not OSTrack's": Guard(
        "tracking/data/readers/got10k_splits.py",
        " or digest_indices(indices) != known.digest:",
        ":",
        f"{TRAINING} -k no_list_is_replaced",
    ),
}
