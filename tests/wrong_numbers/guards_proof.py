"""Guards of ``bench verify``, of the ledger, and of the attempts at a run."""

from __future__ import annotations

from tests.guards import Guard

VERIFY = "tests/wrong_numbers/test_verify.py"
LEDGER = "tests/results/records/test_ledger.py"

GUARDS = {
    "items are those of the test split": Guard(
        "benchmarks/verify/task_checks.py",
        "    if missing or strange or not scored:\n",
        "    if False:\n",
        f"{VERIFY} -k labels_set_to",
    ),
    "the number of expected items follows from task and data": Guard(
        "benchmarks/verify/task_checks.py",
        "plan.num_expected_items != record.expected:",
        "False:",
        f"{VERIFY} -k a_hundred_wrong_items_dropped",
    ),
    "a setting that the command does not name is found": Guard(
        "benchmarks/verify/task_checks.py",
        "    if unnamed:\n",
        "    if False:\n",
        f"{VERIFY} -k test_another_setting",
    ),
    "a record says truly which settings differ from the file": Guard(
        "benchmarks/verify/task_checks.py",
        "if stated is not None and set(stated) != again.file_values.keys():",
        "if False:",
        f"{VERIFY} -k says_which_settings_differ",
    ),
    "a setting that the command names is in effect": Guard(
        "benchmarks/verify/task_checks.py",
        "    elif ignored:\n",
        "    elif False:\n",
        f"{VERIFY} -k put_back",
    ),
    "a version that does not exist is found": Guard(
        "benchmarks/verify/task_checks.py",
        '"fails" if is_impossible else "unchecked"',
        '"unchecked"',
        f"{VERIFY} -k version_that_does_not_exist",
    ),
    "data of an earlier rule prove nothing": Guard(
        "benchmarks/verify/task_checks.py",
        "if stated.coverage is None and record.task not in TASKS_WITH_OLD_RULE:",
        "if False:",
        f"{VERIFY} -k earlier_rule",
    ),
    "the digits' data are compared in every version": Guard(
        "benchmarks/verify/task_checks.py",
        "if stated.coverage is None and record.task not in TASKS_WITH_OLD_RULE:",
        "if stated.coverage is None:",
        f"{VERIFY} -k earlier_rule",
        soak=True,
    ),
    "stored predictions are scored again": Guard(
        "benchmarks/verify/stored_predictions.py",
        "    if differing:\n",
        "    if False:\n",
        "tests/wrong_numbers/test_stored_predictions.py -k better",
    ),
    "stored areas are counted again": Guard(
        "benchmarks/verify/stored_predictions.py",
        "    return max(wrong, wrong_areas)\n",
        "    return wrong\n",
        "tests/wrong_numbers/test_stored_predictions.py -k better_areas",
    ),
    "the command asks for this seed": Guard(
        "benchmarks/verify/recorded_command.py",
        '    yield "seed", record.seed, options.seeds\n',
        "",
        f"{VERIFY} -k test_another_seed",
    ),
    "the command asks for this tier": Guard(
        "benchmarks/verify/recorded_command.py",
        '    yield "tier", record.tier, options.tier\n',
        "",
        f"{VERIFY} -k test_another_tier",
        soak=True,
    ),
    "the card is the registry's": Guard(
        "benchmarks/verify/backbone_checks.py",
        "    if changed := find_changed_fields(record, card):\n",
        "    if changed := list[str]():\n",
        f"{VERIFY} -k test_another_card",
    ),
    "parameters and operations are counted again": Guard(
        "benchmarks/verify/backbone_checks.py",
        "    if wrong:\n",
        "    if False:\n",
        f"{VERIFY} -k other_counts",
    ),
    "the model is built again": Guard(
        "benchmarks/verify/backbone_checks.py",
        "        if differing:\n",
        "        if False:\n",
        f"{VERIFY} -k digest_of_the_model",
    ),
    "verify believes no cache": Guard(
        "benchmarks/verify/verify_records.py",
        "trusts_caches=False",
        "trusts_caches=True",
        f"{VERIFY} -k nothing_that_a_cache",
    ),
    "verify reads as many bytes as the record says": Guard(
        "benchmarks/verify/verify_records.py",
        "(reads_every_byte(record), json",
        "(False, json",
        f"{VERIFY} -k as_many_bytes",
    ),
    "checkpoints are those of the run": Guard(
        "benchmarks/verify/repeat_evaluation.py",
        "CheckpointOwner(owner, record.seed)",
        'CheckpointOwner("", record.seed)',
        f"{VERIFY} -k whose_they_are",
    ),
    "the name of a run's folder is compared": Guard(
        "results/records/verification.py",
        "    if stated[1] == cell and same_id:\n",
        "    if True:\n",
        f"{VERIFY} -k wrong_name",
    ),
    "the place of the true class agrees with the prediction": Guard(
        "results/records/verification.py",
        "        if wrong:\n",
        "        if False:\n",
        f"{VERIFY} -k but_not_their_place",
    ),
    "a run that is made again is compared item by item": Guard(
        "benchmarks/verify/repeat_run.py",
        "    if differing:\n",
        "    if False:\n",
        f"{VERIFY} -k another_seed_is_found",
    ),
    "what is written is in the ledger": Guard(
        "results/records/store.py",
        "    record_event(folder, record)\n",
        "",
        LEDGER,
    ),
    "each line follows from the line before": Guard(
        "results/records/ledger.py",
        "            if previous != head:\n",
        "            if False:\n",
        f"{LEDGER} -k tampered",
    ),
    "a cut line does not swallow the next one": Guard(
        "results/records/ledger.py",
        'b"\\n" * is_torn + ',
        "",
        f"{LEDGER} -k cut_off",
    ),
    "a copied store goes on in its own chain": Guard(
        "results/records/ledger.py",
        "{folder.stat().st_ino}",
        "",
        f"{LEDGER} -k copied_store",
    ),
    "an edited record is found by the ledger": Guard(
        "results/records/ledger_checks.py",
        '        elif not any(line.event.event == "started" for line in known):\n',
        "        elif False:\n",
        f"{VERIFY} -k edited_latency",
    ),
    "a deleted seed is found by the ledger": Guard(
        "results/records/ledger_checks.py",
        "    if missing:\n",
        "    if False:\n",
        f"{VERIFY} -k deleted_seed",
    ),
    "a migration does not launder an edited record": Guard(
        "results/records/ledger_checks.py",
        "before.record_sha256 not in stated[before.folder]:",
        "False:",
        f"{LEDGER} -k launder",
    ),
    "runs that were repeated are told": Guard(
        "results/records/ledger_checks.py",
        "if len({event.items_sha256 for event in completed}) > 1:",
        "if False:",
        f"{VERIFY} -k repeated_until",
        soak=True,
    ),
    "a resumed run lists its attempts": Guard(
        "benchmarks/cell_record.py",
        "[*earlier.earlier_attempts, earlier.environment]",
        "[]",
        "tests/wrong_numbers/test_attempts.py",
        soak=True,
    ),
    "a resume under other conditions is said": Guard(
        "benchmarks/cell_record.py",
        "    if changed:\n",
        "    if False:\n",
        "tests/wrong_numbers/test_attempts.py",
    ),
}
