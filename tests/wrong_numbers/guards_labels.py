"""Guards of image content, duplicates and labels."""

from __future__ import annotations

from tests.guards import Guard

CONTENT, LABELS = "tests/wrong_numbers/test_image_content.py", "tests/wrong_numbers/test_labels.py"

GUARDS = {
    "a classification set is fingerprinted by the content of its images": Guard(
        "classification/data/dataset_splits.py",
        'digest.update(image + f"\\0{content} {label}\\n".encode())',
        'digest.update(image + f"\\0 {label}\\n".encode())',
        f"{CONTENT} -k swapped_between",
    ),
    "a pool for pre-training is fingerprinted by the content of its images": Guard(
        "pretraining/data/readers.py",
        'f"\\0{content}\\n".encode())',
        'b"\\n")',
        f"{CONTENT} -k pre_training",
    ),
    "fresh features are not read from the cache": Guard(
        "classification/probes/feature_cache.py",
        "    if not get_run_scope().trusts_caches:\n        return None\n",
        "",
        f"{CONTENT} -k fresh_reads",
    ),
    "features of images that change are not kept": Guard(
        "classification/probes/feature_cache.py",
        "    require_unchanged_files()\n",
        "",
        f"{CONTENT} -k change_while",
    ),
    "training images in a user's test split are refused": Guard(
        "benchmarks/resolve_cell.py",
        "    if data.duplicates and not allow_duplicates:\n",
        "    if False:\n",
        f"{CONTENT} -k in_another_split",
    ),
    "an official set whose test folder is its train folder is refused": Guard(
        "engine/data/duplicates.py",
        "if is_official and len(each.pairs) <= MAX_OFFICIAL_SHARE * each.num_items]",
        "if is_official]",
        f"{CONTENT} -k cars_whose",
    ),
    "training images in the test split of a segmentation are found": Guard(
        "segmentation/data/checks.py",
        "    return judge_duplicates(items, is_official)\n",
        "    return (), ()\n",
        f"{LABELS} -k training_images_in_test",
    ),
    "a user's class needs pixels in train and in test": Guard(
        "segmentation/data/label_checks.py",
        '        if missing and (is_official or split == "val"):\n',
        "        if missing:\n",
        f"{LABELS} -k refused_before_a_run",
    ),
    "a split needs labeled pixels": Guard(
        "segmentation/data/label_checks.py",
        "        if len(missing) == space.num_classes:\n",
        "        if False:\n",
        f"{LABELS} -k official_split_of_ignored",
    ),
    "shifted labels are refused before a run": Guard(
        "segmentation/data/checks.py",
        "    if not dataset.has_own_classes:\n",
        "    if False:\n",
        f"{LABELS} -k shifted_labels",
    ),
    "a stored summary is judged by the labels of this set": Guard(
        "segmentation/data/label_summaries.py",
        "        if summary.histogram[table < 0].any():\n",
        "        if False:\n",
        f"{LABELS} -k judged_by",
    ),
    "label files of a run that trusts no cache are decoded": Guard(
        "segmentation/data/label_summaries.py",
        "if get_run_scope().trusts_caches else {}",
        "if True else {}",
        f"{LABELS} -k decoded_once",
    ),
    "a class list of ADE20K in another order is a deviation": Guard(
        "engine/data/official/label_digests.py",
        "if hash_text(name, NAME_DIGITS) != digest]",
        "if False]",
        f"{LABELS} -k class_names_of_cifar",
    ),
    "labels other than the official ones are a deviation": Guard(
        "engine/data/official/label_digests.py",
        "                wrong.append(name)\n",
        "                pass\n",
        f"{LABELS} -k flower_set_with_other",
    ),
    "a class without test images needs a test folder": Guard(
        "classification/data/dataset_splits.py",
        'if missing and split == "test" and not is_official:',
        "if False:",
        f"{LABELS} -k without_test_images",
    ),
}
