"""Guards of identity, file hashes and boards."""

from __future__ import annotations

from tests.guards import Guard

GUARDS = {
    "a file whose times were put back is read again": Guard(
        "engine/data/file_hashes.py",
        "if stored is not None and stored[0] == states[index]:",
        "if stored is not None and stored[0][1:3] == states[index][1:3]:",
        "tests/engine/data/test_file_hashes.py -k even_with_its_old_time",
    ),
    "a run that trusts no cache reads every file": Guard(
        "engine/data/file_hashes.py",
        "known = store.load(home) if get_run_scope().trusts_caches else {}",
        "known = store.load(home)",
        "tests/engine/data/test_file_hashes.py -k trusts_no_cache",
    ),
    "a file written just now is not kept": Guard(
        "engine/data/file_hashes.py",
        "if began - max(state.mtime_ns, state.ctime_ns) / 1e9 > SETTLED_SECONDS:",
        "if True:",
        "tests/engine/data/test_file_hashes.py -k just_now",
    ),
    "data that change during a run are noticed": Guard(
        "engine/data/file_hashes.py",
        "if _digest_states(states) != expected:",
        "if False:",
        "tests/engine/data/test_file_hashes.py -k during_a_run",
    ),
    "a later setting at its default is not in the id": Guard(
        "engine/recipe.py",
        "if name in later and value == later[name]:",
        "if False:",
        "tests/wrong_numbers/test_identity.py -k leaves_ids_alone",
    ),
    "a later setting at another value is in the id": Guard(
        "engine/recipe.py",
        "if name in later and value == later[name]:",
        "if name in later:",
        "tests/wrong_numbers/test_identity.py -k any_other_value",
    ),
    "runs of two networks are no row": Guard(
        "results/leaderboard/row_grouping.py",
        "if conflict is not None:",
        "if False:",
        "tests/wrong_numbers/test_boards.py -k refused_as_one_row",
    ),
}
