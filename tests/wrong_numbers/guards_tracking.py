"""What guards the content of tracking sets and the scores of trackers; see ``test_guards.py``."""

from __future__ import annotations

from tests.guards import Guard

HASHES, TRAINING, ZIPS = "tracking/data/frame_hashes.py", "tracking/training_sets.py", "tracking/data/readers/zips.py"
DIGESTS, FIRST, SCORE = "tracking/data/label_digests.py", "tracking/scoring/first_boxes.py", "tracking/scoring/score.py"
DATA_TESTS, SCORE_TESTS = "tests/wrong_numbers/test_tracking_data.py", "tests/wrong_numbers/test_scoring.py"

GUARDS = {
    "a tracking set is its frames": Guard(
        HASHES,
        '        digest.update("\\n".join(islice(rest, len(video.frames))).encode())\n',
        "",
        DATA_TESTS + " -k another_set",
    ),
    "COCO is its images": Guard(
        TRAINING,
        "sha256_chunks([annotation.encode(), *lines])",
        "sha256_chunks([annotation.encode()])",
        DATA_TESTS + " -k is_its_frames",
        soak=True,
    ),
    "a missing training frame is no frame": Guard(
        HASHES, "    if not skip_missing:\n", "    if False:\n", DATA_TESTS + " -k missing_training_frame"
    ),
    "zips and folders are sampled alike": Guard(
        HASHES,
        "return sample_digests(FrameNames(videos, root), digests)",
        "return FileHashes(digests, read.coverage)",
        DATA_TESTS + " -k one_fingerprint",
        soak=True,
    ),
    "test frames in train are found": Guard(
        "tracking/data/shared_frames.py",
        "content._replace(duplicates=shared)",
        "content",
        DATA_TESTS + " -k test_test_frames_in_train",
    ),
    "sizes are no content": Guard(
        "tracking/data/shared_frames.py",
        "    if not (test_frames.is_complete and train_frames.is_complete):\n",
        "    if False:\n",
        DATA_TESTS + " -k by_their_sizes",
    ),
    "a sequence is in one list of LaSOT": Guard(
        "tracking/data/readers/lasot.py",
        "        _require_disjoint_lists(root, names, zipped)\n",
        "",
        DATA_TESTS + " -k both_lists",
        soak=True,
    ),
    "boxes are those of LaSOT": Guard(
        DIGESTS, "found.boxes != expected.boxes", "False", DATA_TESTS + " -k another_ground_truth"
    ),
    "absence is that of LaSOT": Guard(
        DIGESTS,
        "found.hidden != expected.hidden",
        "False",
        DATA_TESTS + " -k zeroed_absence",
        soak=True,
    ),
    "one zero and one NaN": Guard(
        DIGESTS, "np.where(np.isnan(boxes), np.nan, boxes) + 0.0", "boxes", DATA_TESTS + " -k negative_zero"
    ),
    "names are those of LaSOT": Guard(
        "tracking/tasks.py",
        "        if strange:\n",
        "        if False:\n",
        DATA_TESTS + " -k under_another_name",
        soak=True,
    ),
    "scores are of LaSOT's ground truth": Guard(
        "tracking/scoring/sets.py",
        "        if self.official_labels is not None:\n",
        "        if False:\n",
        SCORE_TESTS + " -k not_lasots",
    ),
    "a member of a zip is there once": Guard(
        ZIPS,
        'if match["text"] in sequence.text_files or (match["number"] and int(match["number"]) in places):',
        "if False:",
        DATA_TESTS + " -k member_twice",
    ),
    "zips agree about a sequence": Guard(
        ZIPS,
        "                _require_equal_annotation(name, sequences[name], sequence)\n",
        "                pass\n",
        DATA_TESTS + " -k if_they_agree",
        soak=True,
    ),
    "broken results are no number": Guard(
        SCORE, "    if fault.is_serious and not partial:\n", "    if False:\n", SCORE_TESTS + " -k another_format_get"
    ),
    "broken results are partial": Guard(
        SCORE,
        "self.deviations or self.box_faults)",
        "self.deviations)",
        SCORE_TESTS + " -k another_format_get",
    ),
    "the second box tells too": Guard(
        FIRST,
        "return second if second.is_serious else fault",
        "return fault",
        SCORE_TESTS + " -k does_not_hide",
    ),
    "a pixel is not far": Guard(FIRST, "| (distance <= MAX_START_DISTANCE)", "", SCORE_TESTS + " -k a_pixel_off"),
    "a frame is not far": Guard(
        FIRST,
        "truth.boxes[max(0, frame - 1) : frame + 2]",
        "truth.boxes[frame : frame + 1]",
        SCORE_TESTS + " -k a_fast_target",
    ),
    "a lost target is no format": Guard(
        FIRST, "is_comparable = frame == 0 or", "is_comparable = True or", SCORE_TESTS + " -k really_write"
    ),
    "a poor tracker is no format": Guard(
        FIRST,
        "    if cause.num_boxes < MIN_EXPLAINED_SHARE * len(truths):\n",
        "    if False:\n",
        SCORE_TESTS + " -k as_chance",
    ),
    "every repetition is looked at": Guard(
        FIRST,
        "for run in predictions[truth.name]:",
        "for run in predictions[truth.name][:1]:",
        SCORE_TESTS + " -k wrong_repetition",
    ),
    "other sequences' files are found": Guard(
        FIRST,
        ", _match_other_sequences(boxes, truths, ground_truths)]",
        "]",
        SCORE_TESTS + " -k other_sequences_names",
    ),
    "no archive of another format": Guard(
        "tracking/scoring/submission.py",
        "    _require_first_boxes(test_set, folder, results, found, frames)\n",
        "",
        SCORE_TESTS + " -k no_archive",
    ),
}
