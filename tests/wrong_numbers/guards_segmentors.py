"""Guards of finished segmentation models: each is taken out of a copy of the source, and its test must go red."""

from __future__ import annotations

from tests.guards import Guard

TESTS = "tests/segmentation/as_is/test_evaluation.py"
PIECES = "tests/segmentation/models/test_pixel_classes.py"
USER_CONFIG = "tests/segmentation/models/test_user_config.py"

GUARDS = {
    "a finished segmentor has all its weights": Guard(
        "segmentation/as_is/config_source.py",
        '        ("lacks", sorted(own.keys() - tensors.keys())),\n',
        "",
        f"{TESTS}::test_weights_that_do_not_fit_are_named",
    ),
    "a finished segmentor has as many classes as its checkpoint": Guard(
        "segmentation/as_is/config_source.py",
        "    if weights.class_names and len(weights.class_names) != num_classes:\n",
        "    if False:\n",
        f"{TESTS}::test_other_classes_are_refused",
    ),
    "a finished segmentor has the classes of the data": Guard(
        "segmentation/as_is/evaluation.py",
        "    if segmentor.num_classes != count:\n",
        "    if False:\n",
        f"{TESTS}::test_a_model_of_other_classes_than_the_data",
    ),
    "the classes of a finished segmentor have the order of the data": Guard(
        "segmentation/as_is/evaluation.py",
        "if not _is_same_name(*pair)]",
        "if False]",
        f"{TESTS}::test_other_classes_are_refused",
    ),
    "a config that counts its classes otherwise is refused": Guard(
        "segmentation/as_is/evaluation.py",
        "    if segmentor.first_label not in (None, dataset.label_space.first_label):\n",
        "    if False:\n",
        f"{TESTS}::test_other_classes_are_refused",
    ),
    "a config's start weights are not followed": Guard(
        "segmentation/as_is/mmseg_config.py",
        '    if changed.get("type") in ("BenchBackbone", backbone.BenchBackbone):\n',
        "    if False:\n",
        f"{USER_CONFIG}::test_the_guides_config_trains_validates_and_segments",
    ),
    "the code of a user's parts is in the id": Guard(
        "segmentation/as_is/config_source.py",
        "    if code := _hash_foreign_code(model, inference):\n",
        "    if code := None:\n",
        f"{TESTS}::test_code_of_the_user_is_part_of_the_id",
    ),
    "a later class needs a higher logit": Guard(
        "segmentation/models/pixel_classes.py",
        "is_higher = values > highest",
        "is_higher = values >= highest",
        f"{PIECES}::test_the_first_of_equal_logits_is_chosen",
    ),
    "windows stay until their last row is decided": Guard(
        "segmentation/models/pixel_classes.py",
        "pending = [each for each in pending if each.corner.top + each.size[0] > top]",
        "pending = []",
        f"{PIECES}::test_pieces_give_the_same_classes",
    ),
    "a setting that layer decay does not have is refused": Guard(
        "segmentation/models/layer_decay.py",
        "        if strange := sorted(settings.keys() - set(self.SETTINGS)):\n",
        "        if strange := []:\n",
        f"{USER_CONFIG}::test_a_setting_of_mmsegs_own_constructor_is_refused",
    ),
}
