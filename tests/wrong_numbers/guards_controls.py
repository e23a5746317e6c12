"""Guards of the negative controls."""

from __future__ import annotations

from tests.guards import Guard

CONTROLS = "tests/wrong_numbers/test_controls.py"

GUARDS = {
    "a control that beats the baseline fails": Guard(
        "benchmarks/negative_controls/check_protocols.py",
        'verdict = "FAILED" if gain.low > 0 else "ok"',
        'verdict = "ok"',
        f"{CONTROLS} -k beats_the_baseline_with_every_seed",
    ),
    "an intact run that learned nothing proves nothing": Guard(
        "benchmarks/negative_controls/check_protocols.py",
        'else "not judged" if learned else "inconclusive"',
        'else "not judged"',
        f"{CONTROLS} -k learned_nothing",
    ),
    "a lucky order of labels is repeated": Guard(
        "benchmarks/negative_controls/check_protocols.py",
        "        if not any(_compute_gain(runs, baseline, spec).low > 0 for spec in metrics):\n",
        "        if True:\n",
        f"{CONTROLS} -k one_lucky_order",
    ),
    "the seeds of a control count in its interval": Guard(
        "benchmarks/negative_controls/check_protocols.py",
        "_repeat_sample(theirs.sample, ours.sample.num_seeds)",
        "theirs.sample",
        f"{CONTROLS} -k varies_from_seed_to_seed",
    ),
    "where lower is better the gain has the other sign": Guard(
        "benchmarks/negative_controls/check_protocols.py",
        "    if spec.higher_is_better:\n        return found\n",
        "    if True:\n        return found\n",
        f"{CONTROLS} -k lower_is_better",
    ),
    "a failed control gives another exit code": Guard(
        "benchmarks/cli/setup/check.py",
        'return 0 if set(verdicts.values()) == {"ok"} else 1',
        "return 0",
        f"{CONTROLS}::test_a_probe_that_reads_the_test_labels_fails[1]",
    ),
    "features of controls stay out of the cache": Guard(
        "benchmarks/negative_controls/check_protocols.py",
        'use_feature_folder(folder / "features"):',
        'open_scratch_folder("other"):',
        f"{CONTROLS} -k no_record_and_no_feature",
    ),
    "a control has another fingerprint": Guard(
        "engine/data/control_task.py",
        'f"{fingerprint} {kind} {seed}".encode()',
        'f"{fingerprint}".encode()',
        f"{CONTROLS} -k neither_name_nor_fingerprint",
    ),
    "shuffled digits have other labels": Guard(
        "classification/controls.py",
        "shuffle_items(digits.labels[members].tolist(), seed)",
        "digits.labels[members]",
        f"{CONTROLS} -k digits_lose",
    ),
    "the labels of test stay": Guard(
        "classification/controls.py",
        'LEARNING_SPLITS = ("train", "val")',
        'LEARNING_SPLITS = ("train", "val", "test")',
        f"{CONTROLS} -k digits_lose",
    ),
    "shuffled photographs have other labels": Guard(
        "classification/controls.py",
        "split._replace(labels=shuffle_items(split.labels, seed))",
        "split",
        f"{CONTROLS} -k users_images",
    ),
    "noise stands in place of photographs": Guard(
        "classification/controls.py",
        "split._replace(images=NoiseImages(split.images, seed))",
        "split",
        f"{CONTROLS} -k users_images",
        soak=True,
    ),
    "a run reads the label maps of a control": Guard(
        "segmentation/tasks.py",
        'exchange_label_files(found, seed) if kind == "shuffled_labels" else found',
        "found",
        f"{CONTROLS} -k training_reads_what_a_control_shows",
    ),
    "training reads scenes as a control shows them": Guard(
        "segmentation/run.py",
        "recipe.train, recipe.crop, read)",
        "recipe.train, recipe.crop)",
        f"{CONTROLS} -k training_reads_what_a_control_shows",
    ),
    "pairs of a control have other boxes": Guard(
        "tracking/controls.py",
        "ExchangedBoxes(each.sampler, self.seed)",
        "each.sampler",
        f"{CONTROLS} -k pairs_lose",
    ),
    "pairs of a control are noise": Guard(
        "tracking/controls.py",
        "NoisePairs(each.sampler, self.seed)",
        "each.sampler",
        f"{CONTROLS} -k pairs_lose",
        soak=True,
    ),
    "frames of a control are noise": Guard(
        "tracking/controls.py",
        'NoiseVideo(**vars(video), seed=seed) if kind == "noise_images" else video',
        "video",
        f"{CONTROLS} -k frames_become_noise",
    ),
    "training draws the pairs of a control": Guard(
        "tracking/protocols.py",
        "make_samplers(recipe, request.data_root)",
        "make_pair_samplers(recipe, request.data_root)",
        f"{CONTROLS} -k training_draws_what_a_control_shows",
        soak=True,
    ),
}
