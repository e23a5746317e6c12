"""Guards of what travels: archives from strangers, unions of stores, the gate to the network."""

from __future__ import annotations

from tests.guards import Guard

ARCHIVES = "tests/benchmarks/transfer/test_archives.py"
MERGE = "tests/benchmarks/transfer/test_merge_stores.py"
SUPPLIES = "tests/benchmarks/transfer/test_offline_pack.py"
SUBMISSION = "tests/benchmarks/transfer/test_submission.py"

GUARDS = {
    "a member of an archive is a plain file": Guard(
        "benchmarks/transfer/archives.py",
        "        if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.size < 0:\n",
        "        if member.size < 0:\n",
        f"{ARCHIVES} -k hostile_archive",
    ),
    "a member of an archive is in its manifest": Guard(
        "benchmarks/transfer/archives.py",
        "            if entry is None or entry.bytes != size:\n",
        "            if entry is None:\n",
        f"{ARCHIVES} -k hostile_archive",
    ),
    "a file of an archive has its stated content": Guard(
        "benchmarks/transfer/archives.py",
        "    if digest.hexdigest() != entry.sha256:\n",
        "    if False:\n",
        f"{ARCHIVES} -k hostile_archive",
    ),
    "a path of an archive stays below its target": Guard(
        "benchmarks/transfer/archive_manifest.py",
        "        require_safe_name(name, origin)\n",
        "        pass\n",
        f"{ARCHIVES} -k leads_out",
    ),
    "an unpacked file overwrites nothing": Guard(
        "benchmarks/transfer/archives.py",
        'target.open("xb")',
        'target.open("wb")',
        f"{ARCHIVES} -k not_overwritten",
    ),
    "two numbers of one run are not merged": Guard(
        "benchmarks/transfer/merge_stores.py",
        "    if _get_numbers(first) != _get_numbers(second):\n",
        "    if False:\n",
        f"{MERGE} -k other_numbers_of_one_run",
    ),
    "a withdrawn record does not come back": Guard(
        "benchmarks/transfer/merge_stores.py",
        "    plan.conflicts.extend(_find_withdrawn(stores, plan.records))\n",
        "",
        f"{MERGE} -k withdrawal",
    ),
    "a union is true to its ledger": Guard(
        "benchmarks/transfer/install_union.py",
        '            plan.conflicts.extend(_find_new_ledger_faults(plan, stores, workshop / "ledger_check"))\n',
        "            pass\n",
        f"{MERGE} -k new_fault_of_the_ledger",
    ),
    "a merge follows no link": Guard(
        "benchmarks/transfer/store_contents.py",
        "            if stat.S_ISREG(path.lstat().st_mode):\n",
        "            if stat.S_ISREG(path.stat().st_mode):\n",
        f"{MERGE} -k links_and_unreadable",
    ),
    "supplies replace no other file": Guard(
        "benchmarks/transfer/offline_pack.py",
        "    if differing:\n",
        "    if False:\n",
        f"{SUPPLIES} -k never_overwritten",
    ),
    "weights without a licence are not submitted": Guard(
        "benchmarks/transfer/submission.py",
        "        if fault:\n",
        "        if False:\n",
        f"{SUBMISSION} -k need_a_licence",
        soak=True,
    ),
    "a record states its schema version": Guard(
        "results/records/record.py",
        '            if "schema_version" in record.model_fields_set:\n',
        "            if True:\n",
        "tests/benchmarks/transfer/test_record_schema.py -k refuse_the_same",
    ),
    "offline means no connection": Guard(
        "foundation/network/access.py",
        "    if OFFLINE_VAR.read_switch():\n",
        "    if False:\n",
        "tests/foundation/network/test_access.py -k offline_tries_nothing",
    ),
}
