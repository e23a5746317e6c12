"""Guards of odd folders, links and caches."""

from __future__ import annotations

from tests.guards import Guard

TEST = "tests/wrong_numbers/test_attack_data.py"
WILD = "tests/wild_data/test_images.py"

GUARDS = {
    "Train and Test are not two classes": Guard(
        "classification/data/own_images/find_splits.py",
        "not _may_hold_splits(names, parsed)):",
        "True):",
        f"{TEST} -k taken_for_classes",
        soak=True,
    ),
    "images in an unread format are not left out": Guard(
        "classification/data/own_images/image_tree.py",
        '    require_read_formats(f"{root}/{path}" for path in files.files)\n',
        "",
        f"{TEST} -k unread_format",
    ),
    "a fixed split is that of the content": Guard(
        "classification/data/own_images/content_split.py",
        "by_class.setdefault(label, {}).setdefault(digest, []).append(item)",
        "by_class.setdefault(label, {}).setdefault(str(item), []).append(item)",
        "tests/classification/data/own_images/test_content_split.py -k renamed_files",
    ),
    "one image does not have two labels": Guard(
        "classification/data/own_images/content_split.py",
        "        if labels[other] != labels[item]:",
        "        if False:",
        "tests/classification/data/own_images/test_content_split.py -k one_label",
        soak=True,
    ),
    "images below a class's subfolder need a word": Guard(
        "classification/data/own_images/class_folders.py",
        "    if nested and nesting is None:",
        "    if False:",
        f"{WILD} -k fruits",
        soak=True,
    ),
    "every file of a user's images is accounted for": Guard(
        "classification/data/readers/folders.py",
        "    require_all_used(tree.files, [*paths",
        "    (lambda *_: None)([*paths",
        f"{WILD} -k nothing",
    ),
    "class names are part of a user's labels": Guard(
        "segmentation/data/dataset_layout.py",
        "        if self.has_own_classes:",
        "        if False:",
        f"{TEST} -k other_class_names",
    ),
    "Train is not tested beside Test": Guard(
        "tracking/data/readers/folder.py",
        "    require_split_names(root)  # beside",
        "    # beside",
        f"{TEST} -k beside_a_folder_test",
        soak=True,
    ),
    "two sequences have two names": Guard(
        "tracking/data/readers/folder.py",
        "        if name in places:",
        "        if False:",
        f"{TEST} -k of_one_name",
    ),
    "a link that moves during a run is noticed": Guard(
        "engine/data/file_hashes.py",
        "    _remember_states(root.absolute(), names, states)\n",
        "    _remember_states(Path(home), names, states)\n",
        f"{TEST} -k leads_elsewhere",
    ),
    "an analysis of changed images is not kept": Guard(
        "analysis/store.py",
        "    require_unchanged_files()\n",
        "",
        f"{TEST} -k analysis_of_images",
    ),
    "a write whose error a library hid is no file": Guard(
        "foundation/files.py",
        "            if watched.fault is not None:\n                raise watched.fault\n",
        "",
        "tests/foundation/storage/test_write_faults.py -k hidden",
        soak=True,
    ),
    "an embedded data set of which a full disk kept a part is none": Guard(
        "engine/pictures/image_files.py",
        "        path.write_bytes(content.tobytes())\n",
        "        cv2.imwrite(str(path), image, list(parameters))\n",
        "tests/faults/test_disk_full.py -k cache_that_cannot",
        soak=True,
    ),
}
