"""Guards of finished classifiers: the whole network, the right columns, the right items."""

from __future__ import annotations

from tests.guards import Guard

TESTS = "tests/classification/as_is"

GUARDS = {
    "the head of a finished classifier is loaded": Guard(
        "backbones/checkpoints/load_weights.py",
        "() if with_head else head_prefixes, blank)",
        "head_prefixes, blank)",
        f"{TESTS}/test_backbones.py -k wrappers_of_a_state_dict",
    ),
    "the norm of a finished classifier does not start anew": Guard(
        "backbones/checkpoints/fit_tensors.py",
        "    if may_start_norm and fresh and fresh.isdisjoint(tensors):\n",
        "    if fresh and fresh.isdisjoint(tensors):\n",
        f"{TESTS}/test_backbones.py -k norm_of_the_mean_is_missing",
    ),
    "two folders are not one class": Guard(
        "classification/as_is/match_classes.py",
        "    if twice:\n",
        "    if False:\n",
        f"{TESTS}/test_match_classes.py -k does_not_have_are_refused",
    ),
    "a word of two classes is refused": Guard(
        "classification/as_is/match_classes.py",
        "    if ambiguous:\n",
        "    if False:\n",
        f"{TESTS}/test_match_classes.py -k a_word_of_two_classes",
    ),
    "the outputs of a head are put in the order of the data": Guard(
        "classification/as_is/batches.py",
        "            if chosen is not None:\n",
        "            if False:\n",
        f"{TESTS}/test_runs.py -k new_images_of_the_classes",
    ),
    "the tested weights are those of their run": Guard(
        "classification/as_is/run_weights.py",
        "    if fault := find_digest_fault(path, CheckpointOwner(owner, record.seed)):\n",
        "    if fault := find_digest_fault(path):\n",
        f"{TESTS}/test_runs.py -k of_another_run",
    ),
    "a class map is part of the id": Guard(
        "classification/as_is/open_evaluation.py",
        '        **({"class_map": class_map} if class_map is not None else {}),\n',
        "",
        f"{TESTS}/test_match_classes.py -k map_is_part_of_the_id",
    ),
    "an image is scored once": Guard(
        "classification/scoring.py",
        "        if item in rows:\n",
        "        if False:\n",
        "tests/classification/test_scoring.py -k files_that_are_no_result",
    ),
}
