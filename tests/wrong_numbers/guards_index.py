"""Guards of the memo of records: nothing that it holds counts for more than the records."""

from __future__ import annotations

from tests.guards import Guard

OUTPUT = "tests/results/store_index/test_same_output.py"
FILE = "tests/results/store_index/test_facts_memo.py"

GUARDS = {
    "an edit whose mtime is set back is seen": Guard(
        "results/store_index/facts_memo.py",
        "found.st_size, found.st_mtime_ns, found.st_ctime_ns",
        "found.st_size, found.st_mtime_ns, found.st_mtime_ns",
        f"{OUTPUT} -k keeps_size_and_time",
    ),
    "what was written just now is read again": Guard(
        "results/store_index/read_runs.py",
        "        if has_settled(record_stat, now):",
        "        if True:",
        f"{OUTPUT} -k just_now",
    ),
    "the state that is kept is that of the file that was read": Guard(
        "results/store_index/read_runs.py",
        "pack_state(record_stat), lines)",
        "pack_state(os.stat(path)), lines)",
        f"{OUTPUT} -k the_file_that_was_read",
    ),
    "a value that was damaged is noticed": Guard(
        "results/store_index/facts_memo.py",
        " or crc != _compute_crc(key, state, lines):",
        ":",
        f"{FILE} -k not_what_was_written",
    ),
    "a file with other tables is not believed": Guard(
        "results/store_index/facts_memo.py",
        "            if tables != [(_TABLE,)]:",
        "            if not tables:",
        f"{FILE} -k not_what_was_written",
    ),
    "pre-trainings of all tasks name the start weights": Guard(
        "results/store_index/select_runs.py",
        "        if is_chosen(facts) or facts.is_pretraining:",
        "        if is_chosen(facts):",
        f"{OUTPUT} -k at_rest",
    ),
    "a backbone has one timing on the boards that are asked for": Guard(
        "results/store_index/indexed_report.py",
        "build_report(scan_result._replace(records=list(runs)), table_filter, facts)",
        "build_report(scan_result._replace(records=list(runs)), table_filter)",
        f"{OUTPUT} -k at_rest",
    ),
    "a run is not made where no command looks for it": Guard(
        "benchmarks/run_cell.py",
        "    require_outside_run(cell_request.out / resolved.task.name)\n",
        "",
        "tests/benchmarks/test_run_cell.py -k folder_of_a_run",
        soak=True,
    ),
    "a record that no command finds is named by verify": Guard(
        "benchmarks/verify/verify_records.py",
        "for path in list_unread_records(folder))",
        "for path in ())",
        "tests/benchmarks/cli/test_verify.py -k no_command_finds",
    ),
}
