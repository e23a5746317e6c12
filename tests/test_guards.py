"""Each guard against a plausible wrong number is taken out of a copy of the source; its test must go red."""

from __future__ import annotations

import pytest

from tests.guards import Guard, SourceCopy, copy, list_guard_names

__all__ = ["copy"]

GUARDS = {
    "a missing checkpoint raises": Guard(
        "backbones/weights.py",
        "path = require_weight_file(Path(checkpoint).expanduser())",
        "path = Path(checkpoint).expanduser()\n        if not path.is_file():\n"
        "            return InitialWeights('random', None, None)",
        "tests/benchmarks/cli/test_cli.py::test_bad_input_is_one_sentence_and_exit_2 -k nowhere/model",
    ),
    "a trunk that is not loaded whole raises": Guard(
        "backbones/checkpoints/load_weights.py",
        "if not accepted or (not report.is_complete and not allow_partial):",
        "if False:",
        "tests/benchmarks/cli/test_cli.py::test_bad_input_is_one_sentence_and_exit_2 -k fit",
    ),
    "a head count that the weights contradict raises": Guard(
        "backbones/checkpoints/load_weights.py",
        "        if not allow_partial:  # of a finished model nothing is accepted, so no option is offered\n",
        "        if False:\n",
        "tests/backbones/checkpoints/test_attention_heads.py",
        soak=True,
    ),
    "a module from memory is the one that its record names": Guard(
        "backbones/memory_modules/adapt_module.py",
        "    if hash_state_dict(collect_tensors(model)) != weights.sha256:\n",
        "    if False:\n",
        "tests/backbones/memory_modules/test_memory_module.py::test_a_module_that_was_trained_on_in_the_meantime_is_refused",
    ),
    "a module with another forward is another backbone": Guard(
        "backbones/memory_modules/memory_module.py",
        '"code_sha256": hash_code(module)',
        '"code_sha256": ""',
        "tests/backbones/memory_modules/test_memory_module.py::test_what_computes_something_else_has_another_card",
    ),
    "a weight file is read as plain tensors": Guard(
        "backbones/checkpoints/reading/read_content.py",
        "weights_only=True",
        "weights_only=False",
        "tests/benchmarks/cli/test_cli.py::test_bad_input_is_one_sentence_and_exit_2 -k smokewhich",
    ),
    "mmengine may not re-initialise loaded weights": Guard(
        "engine/checkpoints.py",
        "def _init_model_weights(self)",
        "def _unused(self)",
        "tests/engine/test_start_weights.py",
    ),
    "every image is scored once": Guard(
        "classification/metrics.py",
        "    require_all_scored(rows, num_expected)\n    labels, predictions, order",
        "    labels, predictions, order",
        "tests/classification/test_metrics.py::test_no_number_unless_each_item_was_scored_once",
    ),
    "data that are not the official set need the word": Guard(
        "benchmarks/resolve_cell.py",
        "    if data.deviations and not allow_subset:\n",
        "    if False:\n",
        "tests/classification/test_image_tasks.py::test_a_cut_set_needs_the_word",
        soak=True,
    ),
    "a test image may not be among the training images": Guard(
        "classification/data/dataset_splits.py",
        "    _require_disjoint_splits(splits)\n",
        "",
        "tests/classification/data/test_dataset_splits.py::test_a_test_image_among_the_training_images_is_refused",
    ),
    "a CIFAR file cannot run code": Guard(
        "engine/data/official/cifar.py",
        "        if (module, name) not in _ALLOWED_GLOBALS:\n",
        "        if False:\n",
        "tests/classification/data/test_readers.py::test_a_cifar_file_cannot_run_code",
    ),
    "every segmented image is scored once": Guard(
        "segmentation/evaluation.py",
        "        require_complete_items([each.item for each in counted], self.image_names)\n",
        "",
        "tests/segmentation/test_metrics.py::test_the_metric_demands_every_image",
    ),
    "two counts of mIoU must agree": Guard(
        "segmentation/evaluation.py",
        "if not apart <= MAX_SCORE_DIFFERENCE:",
        "if False:",
        "tests/segmentation/test_metrics.py::test_disagreement_with_mmseg_gives_no_number",
    ),
    "a label file has only its set's numbers": Guard(
        "segmentation/data/files.py",
        "    require_valid_labels(numbers, path, label_space)\n",
        "",
        "tests/segmentation/data/test_data.py::test_label_numbers_become_classes",
    ),
    "a complete record is never rewritten": Guard(
        "results/records/store.py",
        'if old.status == "invalidated" or',
        'if False and old.status == "invalidated" or False and',
        "tests/results/records/test_store.py::test_a_complete_record_is_never_rewritten",
    ),
    "only comparable rows share a board": Guard(
        "results/leaderboard/table.py",
        "record.tier, record.comparability,",
        "record.tier, 'all',",
        "tests/results/leaderboard/test_table.py::test_only_one_comparability_key_shares_a_board",
    ),
    "a changed card is another backbone": Guard(
        "results/leaderboard/row_grouping.py",
        "run[1].start_sha256[:12], _backbone_digest(run[1]))",
        "run[1].start_sha256[:12], '')",
        "tests/results/leaderboard/test_table.py::test_a_card_that_was_changed_is_never_averaged_with_the_old_one",
    ),
    "a published number needs the same start": Guard(
        "results/published/match.py",
        "    if record.backbone.init != row.init or record.backbone.allow_partial:\n",
        "    if False:\n",
        "tests/results/published/test_match.py::test_whatever_differs_keeps_it_apart_and_is_named",
    ),
    "text of records makes no script": Guard(
        "results/leaderboard/page/write.py",
        'for letter in "<>&',
        'for letter in "',
        "tests/results/leaderboard/page/test_write.py::test_foreign_text_makes_no_markup_and_no_script",
    ),
    "one seed is never called the best": Guard(
        "results/leaderboard/page/overview.py",
        "    if not has_one_seed(row):\n",
        "    if True:\n",
        "tests/results/leaderboard/page/test_overview.py::test_marks_claim_no_more_than_was_measured",
    ),
    "a page removes no file but its own": Guard(
        "results/leaderboard/page/media.py",
        "if is_regular and sha256_file(path)[:32] == path.stem:",
        "if is_regular:",
        "tests/results/leaderboard/page/test_media.py"
        "::test_a_later_page_removes_the_pictures_of_an_earlier_one_and_nothing_else",
    ),
    "times of two places never share a front": Guard(
        "results/leaderboard/pareto.py",
        'row.cost.timing_setup if cost == "latency" else ""',
        '""',
        "tests/results/leaderboard/test_pareto.py::test_unmeasured_rows_take_no_part_and_times_of_two_places_never_meet",
    ),
    "a time of a busy machine is on no front": Guard(
        "results/leaderboard/pareto.py",
        '"latency": row.cost.quiet_latency_ms',
        '"latency": row.cost.latency_ms',
        "tests/results/leaderboard/test_pareto.py::test_a_time_of_a_busy_machine_is_left_off_the_front_and_counted",
    ),
    "a per-item file is the one that its record was made with": Guard(
        "results/statistics/item_files.py",
        "    if hashlib.sha256(content).hexdigest() != sha256:\n",
        "    if False:\n",
        "tests/results/statistics/test_per_item_outcomes.py::test_a_file_that_was_changed_is_refused",
    ),
    "a value that its items do not give is never ranked": Guard(
        "results/statistics/per_item_outcomes.py",
        "    if not is_same_up_to_rounding(stated.value, found):\n",
        "    if False:\n",
        "tests/results/statistics/test_ranking.py::test_a_changed_value_takes_the_row_off_the_ranks",
    ),
    "a metric has one direction on a board": Guard(
        "results/statistics/ranking.py",
        "        if _get_metric(record, metric).higher_is_better != higher_is_better:\n",
        "        if False:\n",
        "tests/results/statistics/test_ranking.py::test_lower_can_be_better",
    ),
    "rows whose metric follows from items in different ways are not paired": Guard(
        "results/statistics/ranking.py",
        "            elif row.statistic != usual_statistic:\n",
        "            elif False:\n",
        "tests/results/statistics/test_statistic_functions.py::"
        "test_rows_whose_metric_follows_in_another_way_are_not_paired",
    ),
    "ranks of a function that is gone are not kept": Guard(
        "results/statistics/ranking.py",
        "    if functions:",
        "    if False:",
        "tests/results/statistics/test_statistic_functions.py::test_absent_it_is_shown_and_not_ranked",
    ),
    "values of another version of a function are not kept": Guard(
        "results/statistics/group_jackknife.py",
        '        "function": describe_statistic_function(statistic.function),\n',
        '        "function": statistic.function,\n',
        "tests/results/statistics/test_statistic_functions.py::"
        "test_what_was_left_out_is_kept_until_the_function_changes",
    ),
    "only comparable runs are compared": Guard(
        "results/statistics/comparison.py",
        "        if record.comparability != first.comparability:\n",
        "        if False:\n",
        "tests/results/statistics/test_comparison.py::test_what_is_not_comparable_is_refused_with_the_reason",
    ),
    "the seeds' variance is in a p-value over seeds": Guard(
        "results/statistics/estimates.py",
        "    return float(np.var(sample.seed_estimates, ddof=1)) / sample.num_seeds\n",
        "    return 0.0\n",
        "tests/results/statistics/test_estimates.py::test_a_difference_pairs_the_items_and_not_the_seeds",
    ),
    "a run that was edited by hand is found": Guard(
        "results/records/verification.py",
        "        if stated == again:\n",
        "        if stated:\n",
        "tests/results/records/test_verification.py::test_a_record_edited_by_hand_is_found -k seed",
    ),
    "features of some items are never taken for others'": Guard(
        "classification/probes/feature_extraction.py",
        'some = {} if indices is None else {"members": compute_digest({"members": list(indices)})}',
        "some: dict[str, Any] = {}",
        "tests/classification/test_data_scale.py::test_the_draw_is_in_the_key_of_the_cache",
    ),
    "a share of the data is another board": Guard(
        "classification/plan.py",
        'config={"recipe": recipe.identity_settings(), **scale, **more},',
        'config={"recipe": recipe.identity_settings(), **more},',
        "tests/classification/test_data_scale.py::test_every_share_is_another_board -k knn",
    ),
    "every draw scores every item": Guard(
        "classification/probes/lowshot.py",
        "values = [compute_accuracies(scores, num_images) for scores in rows_per_draw]",
        "values = [compute_accuracies(scores, len(scores)) for scores in rows_per_draw]",
        "tests/classification/probes/test_lowshot.py::test_a_draw_with_a_missing_item_has_no_number",
    ),
    "two backbones are compared on the same images": Guard(
        "analysis/cka.py",
        "        require_same_images(first.image_names, second.image_names)\n",
        "",
        "tests/analysis/test_cka.py::test_unpaired_images_are_caught",
    ),
    "attention that is read wrongly is refused": Guard(
        "analysis/attention.py",
        "if not worst <= 1e-2:",
        "if False:",
        "tests/analysis/test_attention.py::test_attention_that_is_more_than_its_logits_is_refused",
    ),
    "runs that differ in more than their seed are not averaged": Guard(
        "analysis/transfer_curves.py",
        "    if len({record.comparability for record in records}) != 1 or",
        "    if False and",
        "tests/analysis/test_transfer_curves.py::test_other_runs_are_not_averaged",
    ),
    "an unreadable training frame stops the run": Guard(
        "tracking/data/video_pairs.py",
        "                if not self.skip_unreadable:\n                    raise\n",
        "",
        "tests/tracking/data/test_video_pairs.py::test_an_unreadable_frame_is_named_or_counted",
    ),
    "every sequence is tracked before there is a score": Guard(
        "tracking/inference/sequential.py",
        '            raise DataError(f"{path} is missing: sequence {video.name} was not tracked")\n',
        "            continue\n",
        "tests/tracking/inference/test_tracker.py::test_finished_sequences_are_not_tracked_again",
    ),
    "a checkpoint's own candidate elimination is used": Guard(
        "tracking/ostrack_settings.py",
        '    if "ce" in re.split(r"[\\W_]+", config_name.casefold()):\n',
        "    if False:\n",
        "tests/tracking/test_ostrack_settings.py::test_the_files_own_settings_are_used",
    ),
    "nobody may contradict what a tracker's file states": Guard(
        "tracking/ostrack_settings.py",
        "        if said is not None and said != value:\n",
        "        if False:\n",
        "tests/tracking/test_ostrack_settings.py -k contradiction",
    ),
    "the frames of all sequences of GOT-10k count the same": Guard(
        "tracking/as_is/scoring.py",
        "weights.append(score.frames if pools_frames else 1)",
        "weights.append(1)",
        "tests/tracking/as_is/test_evaluation.py::test_frames_of_got10k_are_pooled",
    ),
    "what OSTrack's code would compute otherwise is not exported": Guard(
        "tracking/deployment/ostrack_format.py",
        "    if faults:\n",
        "    if False:\n",
        "tests/tracking/deployment/test_ostrack_format.py::test_another_normalization_is_refused",
    ),
    "a run tracks with the normalization that it was given": Guard(
        "tracking/protocols.py",
        "            normalization=find_given_normalization(request),\n",
        "",
        "tests/tracking/as_is/test_evaluation.py::test_a_run_evaluates_to_the_number_of_its_record",
        soak=True,
    ),
    "a pre-training loss is on no board": Guard(
        "results/leaderboard/table.py",
        "        if record.domain == PRETRAINING_DOMAIN:\n            continue\n",
        "",
        "tests/results/leaderboard/test_table.py::test_a_pre_training_is_on_no_board",
    ),
    "an exported encoder loads whole": Guard(
        "pretraining/export.py",
        "    if report is None or not report.is_complete or report.resized:\n",
        "    if False:\n",
        "tests/pretraining/test_export.py::test_an_encoder_of_another_size_is_no_outcome",
    ),
    "a teacher is of the student's size": Guard(
        "pretraining/methods/teacher.py",
        "        if made.load_report is not None and made.load_report.resized:\n",
        "        if False:\n",
        "tests/pretraining/test_bad_input.py::test_a_teacher_of_another_size",
        soak=True,
    ),
    "a teacher answers with the classes of the task": Guard(
        "classification/distillation.py",
        "return logits if self._columns is None else logits[:, self._columns.to(logits.device)]",
        "return logits[:, : 3]",
        "tests/classification/test_distillation.py"
        "::test_a_teacher_of_imagenet_answers_with_the_classes_that_the_data_have",
        soak=True,
    ),
    "another teacher is another run": Guard(
        "classification/image_tasks.py",
        'config={**plan.config, "teacher": teacher.identity_dict()},',
        "config=plan.config,",
        "tests/classification/test_distillation.py::test_the_teachers_bytes_are_in_the_id",
        soak=True,
    ),
    "a teacher sees the student's patches": Guard(
        "pretraining/methods/mae_distill.py",
        "    if own.patch_size != other.patch_size or own.grid_size != other.grid_size:\n",
        "    if False:\n",
        "tests/pretraining/methods/test_mae_distill.py::test_a_teacher_that_does_not_fit_is_a_sentence",
    ),
    "an unreadable image stops a pre-training": Guard(
        "pretraining/data/dataset.py",
        "                if not self.skip_bad:\n",
        "                if False:\n",
        "tests/pretraining/test_bad_input.py::test_a_corrupt_image_stops_the_run_by_name",
    ),
    "a checkpoint is loaded as plain tensors": Guard(
        "engine/checkpoints.py",
        "weights_only=True",
        "weights_only=False",
        "tests/engine/test_checkpoints.py::test_a_pickle_with_code_is_not_run",
    ),
}


KEPT = {name for name in list(GUARDS)[::4] if not GUARDS[name].soak}
"""Those that are taken out in every suite; ``make soak`` takes the others."""


@pytest.mark.parametrize(
    "name", list_guard_names({name: guard._replace(soak=name not in KEPT) for name, guard in GUARDS.items()})
)
def test_without_the_guard_its_test_goes_red(name: str, copy: SourceCopy) -> None:
    assert not copy.passes_without(GUARDS[name])


def test_the_copy_with_all_guards_passes(copy: SourceCopy) -> None:
    assert copy.passes(GUARDS["a missing checkpoint raises"].test)


def test_the_copy_with_all_guards_passes_the_tests_of_results(copy: SourceCopy) -> None:
    quick = {guard.test for guard in GUARDS.values() if guard.file.startswith("results/") and " -k " not in guard.test}
    assert copy.passes(" ".join(sorted(quick)))
