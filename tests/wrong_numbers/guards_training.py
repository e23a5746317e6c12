"""Guards of trainings and their checkpoints: each is taken out of a copy of the source, and its test must go red."""

from __future__ import annotations

from tests.guards import Guard

TESTS = "tests/wrong_numbers/test_training.py"
RESUME = "tests/wrong_numbers/test_resume.py"

GUARDS = {
    "a warm-up of one step ends": Guard(
        "engine/lr_schedule.py",
        "else max(warmup, 2)",
        "else warmup",
        f"{TESTS}::test_every_step_has_the_rate_of_the_closed_form",
    ),
    "runs with a warm-up of one step have another id": Guard(
        "engine/lr_schedule.py",
        "return [ONE_STEP_WARMUP] if warmup == 1 and has_changed",
        "return [ONE_STEP_WARMUP] if False",
        f"{TESTS}::test_exactly_the_runs_whose_rates_moved_are_marked",
    ),
    "the items of a data scale are counted for the marker": Guard(
        "classification/plan.py",
        "    if data_scale == 1:\n        return",
        "    if True:\n        return",
        f"{TESTS}::test_a_plan_counts_the_items_that_are_trained_on",
    ),
    "a loss that is not finite stops a training": Guard(
        "engine/training_checks/divergence.py",
        "        if math.isfinite(step):\n",
        "        if False:\n",
        f"{TESTS}::test_a_training_that_diverges_stops_with_the_step_and_the_cures",
    ),
    "weights that are not finite are not saved": Guard(
        "engine/training_checks/divergence.py",
        "        if int(_find_minimum(count)) < 0:\n",
        "        if False:\n",
        f"{TESTS}::test_weights_that_leave_the_numbers_at_the_last_step_are_not_saved",
    ),
    "a fit that diverged is not chosen": Guard(
        "classification/probes/linear.py",
        "        if not np.isfinite(chances).all():",
        "        if False:",
        f"{TESTS}::test_a_fit_that_diverged_is_not_chosen_from",
    ),
    "a probe's outputs are finite": Guard(
        "classification/probes/probe_outcome.py",
        "    if not good.all():\n",
        "    if False:\n",
        f"{TESTS}::test_outputs_that_are_not_finite_have_no_score_and_name_their_item",
    ),
    "another runtime is compared with PyTorch": Guard(
        "classification/probes/feature_network.py",
        '    _require_parity(measured, recipe, f"{card.name} in OpenVINO")\n',
        "",
        "tests/classification/probes/test_feature_network.py::test_a_runtime_that_computes_something_else_is_refused",
    ),
    "features that vote are finite": Guard(
        "engine/knn.py",
        "    if not good.all():\n",
        "    if False:\n",
        f"{TESTS}::test_outputs_that_are_not_finite_have_no_score_and_name_their_item",
    ),
    "a classifier's outputs are finite": Guard(
        "classification/model.py",
        "    _require_finite_outputs(probabilities, items)\n",
        "",
        f"{TESTS}::test_outputs_that_are_not_finite_have_no_score_and_name_their_item",
    ),
    "a segmented image's logits are finite": Guard(
        "segmentation/evaluation.py",
        "            if not sample.is_finite:\n",
        "            if False:\n",
        f"{TESTS}::test_outputs_that_are_not_finite_have_no_score_and_name_their_item",
    ),
    "a segmentor says whether logits are finite": Guard(
        "segmentation/models/pixel_classes.py",
        "is_finite = is_finite and bool(torch.isfinite(window.cells).all())",
        "pass",
        f"{TESTS}::test_a_segmentor_notes_logits_that_are_not_finite",
    ),
    "a tracker's scores are finite": Guard(
        "tracking/inference/tracker.py",
        "        if not all(np.isfinite(values).all() for values in maps):\n",
        "        if False:\n",
        f"{TESTS}::test_a_tracker_whose_scores_are_not_finite_gives_no_box",
    ),
    "pieces hold whole groups": Guard(
        "engine/grad_accumulation.py",
        "    if norm_group is None:\n",
        "    if True:\n",
        f"{TESTS}::test_groups_in_one_piece_and_in_several_make_the_same_step",
    ),
    "each group has its own statistics": Guard(
        "tracking/models/group_batch_norm.py",
        "count = count_norm_groups(len(input), self.norm_group)",
        "count = 1",
        f"{TESTS}::test_a_step_moves_the_statistics_once_by_the_mean_of_its_groups",
    ),
    "the pieces of a step move the statistics once": Guard(
        "tracking/protocols.py",
        "            GroupStatisticsHook(model),\n",
        "",
        f"{TESTS}::test_the_training_of_a_tracker_knows_its_groups",
        soak=True,
    ),
    "the processes of a step share their statistics": Guard(
        "tracking/models/group_batch_norm.py",
        "                all_reduce(total)\n",
        "",
        f"{TESTS}::test_groups_in_two_processes_make_the_same_step",
        soak=True,
    ),
    "each group normalises its own focal loss": Guard(
        "tracking/models/losses.py",
        "count = count_norm_groups(len(scores), norm_group)",
        "count = 1",
        f"{TESTS}::test_the_focal_loss_is_normalised_by_each_groups_own_centers",
    ),
    "processes share out whole groups": Guard(
        "engine/training_checks/norm_groups.py",
        "        if torn or num_processes",
        "        if False and num_processes",
        f"{TESTS}::test_a_group_is_never_torn_apart",
    ),
    "pieces are not more than groups": Guard(
        "engine/training_checks/norm_groups.py",
        "    if pieces > groups:\n",
        "    if False:\n",
        f"{TESTS}::test_a_group_is_never_torn_apart",
    ),
    "a tracking run asks whether groups are whole": Guard(
        "tracking/protocols.py",
        "    require_whole_groups(recipe, recipe.norm_group, recipe.pairs, processes, PAIR_WORDS)\n",
        "",
        f"{TESTS}::test_a_tracking_run_is_refused_before_it_starts",
        soak=True,
    ),
    "what batch norm sees is in the id of a segmentation": Guard(
        "segmentation/plan.py",
        '            **({"batch_norm": batch_norm} if batch_norm else {}),\n',
        "",
        f"{TESTS}::test_two_ways_to_the_same_statistics_are_two_ids_in_segmentation",
    ),
    "what batch norm sees is in the id of a classification": Guard(
        "classification/plan.py",
        '        **({"batch_norm": norm} if norm else {}),\n',
        "",
        f"{TESTS}::test_pieces_are_neutral_in_classification_without_batch_norm",
    ),
    "what batch norm sees is in the id of a pre-training": Guard(
        "pretraining/run.py",
        '        **({"batch_norm": norm} if norm else {}),\n',
        "",
        f"{TESTS}::test_a_pre_training_says_what_its_batch_norm_sees",
    ),
    "the weights that are validated are those that are saved": Guard(
        "engine/training_checks/shared_buffers.py",
        "                torch.distributed.broadcast(buffer, src=0)\n",
        "                pass\n",
        f"{TESTS}::test_groups_in_two_processes_make_the_same_step",
        soak=True,
    ),
    "mixup has pairs in every process": Guard(
        "classification/plan.py",
        "    if batch_size % (2 * processes * pieces):\n",
        "    if False:\n",
        f"{TESTS}::test_mixup_is_refused_where_a_process_gets_an_odd_number",
    ),
    "a damaged checkpoint is not resumed from": Guard(
        "engine/training_checks/checkpoint_digests.py",
        "    if found != digest:\n",
        "    if False:\n",
        f"{RESUME}::test_a_damaged_file_falls_back_to_the_one_before",
    ),
    "another training's checkpoint is not resumed from": Guard(
        "engine/training_checks/checkpoint_digests.py",
        "if owner is not None and (stated.seed",
        "if False and (stated.seed",
        f"{RESUME}::test_files_of_another_seed_are_not_used",
    ),
    "the weights to test are checked before a resume": Guard(
        "engine/checkpoints.py",
        "    return _find_file_fault(path.with_name(weights), owner) if weights else None\n",
        "    return None\n",
        f"{RESUME}::test_a_damaged_file_falls_back_to_the_one_before -k last",
    ),
    "damaged weights are not tested": Guard(
        "engine/checkpoints.py",
        "    if fault := find_digest_fault(path):\n",
        "    if fault := '':\n",
        f"{RESUME}::test_a_damaged_best_file_of_a_complete_training_is_never_tested",
    ),
    "checkpoints without digests are refused": Guard(
        "engine/checkpoints.py",
        "    if owner.run_id and paths and not any(",
        "    if False and not any(",
        f"{RESUME}::test_checkpoints_of_an_earlier_version_are_refused_with_the_way_out",
    ),
    "a digest is there before its checkpoint": Guard(
        "engine/training_checks/checkpoint_digests.py",
        '    write_atomic(get_digest_path(path), json.dumps(content) + "\\n")\n',
        '    partial.replace(path)\n    write_atomic(get_digest_path(path), json.dumps(content) + "\\n")\n    return\n',
        f"{RESUME}::test_a_kill_at_any_point_of_saving_leaves_what_a_resume_can_use",
    ),
    "trainings of a search have checkpoints of their own": Guard(
        "classification/finetune.py",
        'run_id=f"{request.run_id}/{subfolder}" if request.run_id and subfolder else request.run_id',
        "run_id=request.run_id",
        f"{RESUME}::test_trainings_of_one_search_do_not_share_checkpoints",
        soak=True,
    ),
    "damaged weights are no evaluation": Guard(
        "benchmarks/verify/repeat_evaluation.py",
        "    if fault := _find_checkpoint_fault(folder, record, kept):\n",
        "    if fault := '':\n",
        f"{RESUME}::test_a_run_hands_its_id_to_its_checkpoints_and_its_evaluation_can_be_repeated",
        soak=True,
    ),
    "infinity is no setting": Guard(
        "engine/recipe.py",
        ", allow_inf_nan=False)",
        ")",
        f"{TESTS}::test_values_beyond_any_sense_are_refused",
    ),
    "k is at most the images that vote": Guard(
        "engine/training_checks/bank_size.py",
        "    if k > num_voters:\n",
        "    if False:\n",
        f"{TESTS}::test_k_above_the_images_that_vote_is_refused_before_anything_is_computed",
    ),
    "k is checked before the features": Guard(
        "classification/plan.py",
        "        require_enough_voters(recipe.k, count_training_items(data, recipe.train_on, request.data_scale))\n",
        "        pass\n",
        f"{TESTS}::test_k_above_the_images_that_vote_is_refused_before_anything_is_computed",
    ),
    "k of the health check is checked before the training": Guard(
        "pretraining/task.py",
        "            require_monitor_images(len(labeled), recipe.knn_monitor)\n",
        "            pass\n",
        f"{TESTS}::test_k_of_the_health_check_is_refused_before_the_training",
    ),
}
