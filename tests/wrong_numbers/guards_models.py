"""Guards of a backbone's code: each is taken out of a copy of the source, and its test must go red."""

from __future__ import annotations

from tests.guards import Guard

TESTS = "tests/wrong_numbers/test_models.py"

GUARDS = {
    "what a plug-in imports counts": Guard(
        "foundation/source_hash.py",
        "waiting += _read_imports(path, place, digest)",
        "pass",
        f"{TESTS}::test_an_edited_plugin_has_another_digest -k imports",
    ),
    "every file of a plug-in's package counts": Guard(
        "foundation/source_hash.py",
        'if "__pycache__" not in each.relative_to(path).parts and each.is_file():',
        'if each.suffix == ".py":',
        f"{TESTS}::test_an_edited_plugin_has_another_digest -k table",
    ),
    "a version that was built from a folder says nothing": Guard(
        "foundation/source_hash.py",
        'installer == "conda" or not (info / "direct_url.json").is_file()',
        "True",
        f"{TESTS}::test_a_library_counts_by_its_version_unless_it_was_built_here",
    ),
    "what was edited after its import is not what runs": Guard(
        "foundation/source_hash.py",
        "    return first == lines or not is_loaded\n",
        "    return True\n",
        f"{TESTS}::test_a_plugin_edited_after_its_import_is_not_answered",
    ),
    "a plug-in is looked at before it is imported": Guard(
        "foundation/registry.py",
        "            hash_module_sources(module)\n",
        "            pass\n",
        f"{TESTS}::test_a_plugin_is_looked_at_before_it_is_imported",
    ),
    "code whose source is not found is never answered from a record": Guard(
        "backbones/model_digest.py",
        'source=f"unknown {hash_code(model)}", is_answerable=False)',
        'source="", is_answerable=True)',
        f"{TESTS}::test_a_plugin_without_a_source_is_not_answered",
    ),
    "a number of heads stands in no shape and counts": Guard(
        "backbones/memory_modules/module_hash.py",
        '{type(part).__qualname__} {_format_plain(values)}")',
        '{type(part).__qualname__}")',
        f"{TESTS}::test_a_plugin_edited_between_two_processes_is_another_backbone",
    ),
    "a digest is kept for one source": Guard(
        "backbones/model_digest.py",
        "is_current and source.sha256 == found.source else None",
        "is_current else None",
        f"{TESTS}::test_a_plugin_that_extends_pythons_path_counts_with_what_it_finds_there",
    ),
    "a damaged digest is built anew": Guard(
        "backbones/model_digest.py",
        'is_whole = kept["sha256"] == _hash_content(kept["content"])',
        "is_whole = True",
        f"{TESTS}::test_a_digest_is_read_from_the_cache_and_a_damaged_one_is_not",
    ),
    "what an entry point registers is a plug-in's": Guard(
        "backbones/registry.py",
        'named = {card.module, BACKBONES.get_plugin_module(card.name) or ""} - {""}',
        'named = {card.module} - {""}',
        f"{TESTS}::test_what_an_entry_point_registers_is_a_plugins",
    ),
    "an architecture that somebody else registered is refused": Guard(
        "engine/task.py",
        "        require_own_architecture(self.card)\n",
        "",
        f"{TESTS}::test_a_package_that_takes_a_name_of_timms_is_noticed",
    ),
    "local modules that a module from memory names count": Guard(
        "backbones/model_digest.py",
        "return _describe_foreign_model(model, (), list_code_modules([model]) - {MAIN_MODULE})",
        "return _describe_foreign_model(model, (), set())",
        f"{TESTS}::test_local_modules_that_the_code_of_a_module_names_count",
    ),
    "a task of a package counts by its source": Guard(
        "benchmarks/task_registry.py",
        "    if not plugins and not named:\n",
        "    if True:\n",
        f"{TESTS}::test_a_task_of_a_package_counts_by_its_source",
    ),
    "features of a plug-in's old code are not taken for those of the new": Guard(
        "classification/probes/feature_extraction.py",
        '        "model": model.identity_dict(),\n',
        "",
        f"{TESTS}::test_features_of_other_code_are_not_read_from_the_cache",
    ),
    "the random numbers of a run do not depend on the cache of digests": Guard(
        "engine/task.py",
        "            self._restore_generators(held.generators)\n",
        "            pass\n",
        f"{TESTS}::test_preparing_leaves_the_generators_as_after_the_creation",
    ),
}
