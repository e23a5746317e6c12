"""Guards of several processes: each is taken out of a copy of the source, and its test must go red."""

from __future__ import annotations

from tests.guards import Guard

SHARES = "tests/engine/processes/test_shares.py"
PROOFS = "tests/engine/processes/test_proofs.py"

GUARDS = {
    "an uneven part of a batch counts by its items": Guard(
        "engine/grad_accumulation.py",
        "get_batch_size(part) * processes / size",
        "get_batch_size(part) / get_batch_size(batch)",
        f"{SHARES}::test_every_item_counts_the_same",
    ),
    "pieces of processes are those of one": Guard(
        "engine/grad_accumulation.py",
        "share = share or BatchShare(size)",
        "share = BatchShare(size)",
        f"{SHARES}::test_pieces_of_processes_are_those_of_one",
    ),
    "processes make the same number of steps": Guard(
        "engine/seeding.py",
        "count - last if drop_last else count + max(0, self.world_size - last if last else 0)",
        "count",
        "tests/engine/test_seeding.py::test_processes_share_the_batches_of_one",
    ),
    "an item of the last batch that is repeated is in the id": Guard(
        "engine/lr_schedule.py",
        "return num_processes - last if 0 < last < num_processes else 0",
        "return 0",
        "tests/wrong_numbers/test_training.py::test_items_that_processes_repeat_are_in_the_id",
    ),
    "means of the processes apart add to the variance": Guard(
        "engine/processes/batch_norm.py",
        "(squares + counts * (means - mean) ** 2)",
        "squares",
        f"{PROOFS}::test_moments_far_from_0_keep_their_digits",
    ),
    "the running variance is that of a sample": Guard(
        "engine/processes/batch_norm.py",
        "square_sum / (count - 1)",
        "square_sum / count",
        f"{SHARES}::test_batch_norm_in_a_group_of_one_is_torchs",
    ),
    "a batch norm that cannot be shared is refused": Guard(
        "engine/processes/batch_norm.py",
        "        elif _keeps_own_statistics(module):\n",
        "        elif False:\n",
        f"{PROOFS}::test_the_layers_of_a_model_are_exchanged_and_its_weights_are_not",
    ),
    "a training of several processes shares its statistics": Guard(
        "engine/training.py",
        "        synchronise_batch_norm(job.model)\n",
        "        pass\n",
        f"{SHARES}::test_a_training_of_several_processes_shares_its_statistics",
    ),
    "gradients of batch norm cross the processes": Guard(
        "engine/processes/batch_norm.py",
        "        dist.all_reduce(sums)\n",
        "",
        f"{SHARES}::test_two_processes_with_equal_batches_are_one_with_both",
    ),
    "processes draw for their own rows": Guard(
        "engine/processes/random_draws.py",
        "by_item[rows.first :: rows.step]",
        "by_item[: rows.own]",
        "tests/engine/processes/test_random_draws.py::test_rows_of_processes_are_those_of_one",
    ),
    "the key of a query is found behind those of other processes": Guard(
        "pretraining/methods/infonce_loss.py",
        "device=queries.device) + first",
        "device=queries.device)",
        "tests/pretraining/methods/test_mocov3.py::test_keys_of_all_processes_are_compared",
        soak=True,
    ),
    "each process computes batches of its own": Guard(
        "classification/probes/feature_extraction.py",
        "range(first * size, len(dataset), step * size)",
        "range(0, len(dataset), step * size)",
        "tests/classification/probes/test_feature_extraction.py::test_two_processes_compute_the_batches_of_one",
    ),
    "processes of srun do not run a cell twice": Guard(
        "engine/processes/launcher.py",
        "elif (tasks := _count_step_tasks(environment)) > 1:",
        "elif (tasks := _count_step_tasks(environment)) > 9:",
        "tests/engine/processes/test_launcher.py::test_srun_without_a_launcher_is_named",
    ),
    "a rank alone does not lose its run": Guard(
        "engine/processes/launcher.py",
        'or {"RANK", "WORLD_SIZE"} & environment.keys():',
        'or "WORLD_SIZE" in environment:',
        "tests/engine/processes/test_launcher.py::test_torchrun_and_none",
    ),
    "a run says why another process failed": Guard(
        "engine/processes/failures.py",
        "            _leave_failure(error)\n",
        "",
        "tests/engine/processes/test_failures.py::test_a_broken_connection_gives_the_reason_of_the_other_process",
    ),
    "processes do not share a GPU": Guard(
        "engine/device.py",
        "    if num_visible < max(count, local + 1):\n",
        "    if False:\n",
        "tests/engine/processes/test_launcher.py::test_each_process_has_a_gpu_of_its_own",
    ),
}
