"""Changes of the code that move numbers: each must turn a pinned number red."""

from __future__ import annotations

from tests.guards import Guard


def _name_test(room: str, pin: str) -> str:
    return f"tests/wrong_numbers/test_pinned_{room}.py::test_a_pinned_number_stays[{pin}]"


GUARDS = {
    "a k-NN vote without weights moves a pin": Guard(
        "engine/knn.py",
        "strength = np.exp((weights - weights[:, :1]) / temperature)",
        "strength = np.ones_like(weights)",
        _name_test("classification", "digits_knn-probe"),
    ),
    "another interpolation moves a pin": Guard(
        "classification/data/image_dataset.py",
        '"interpolation": "bicubic"',
        '"interpolation": "bilinear"',
        _name_test("classification", "images_knn-preprocessing"),
    ),
    "label smoothing that is dropped moves a pin": Guard(
        "classification/model.py",
        "return self.compute_loss(images, labels, self.label_smoothing)",
        "return self.compute_loss(images, labels, 0.0)",
        _name_test("classification", "digits_finetune-losses"),
    ),
    "weight decay on biases moves a pin": Guard(
        "engine/optimizer.py",
        "decayed = (all_shapes or parameter.ndim > 1) and name not in undecayed",
        "decayed = True",
        _name_test("classification", "digits_finetune-optimizer"),
    ),
    "a warm-up that is one step longer moves a pin": Guard(
        "engine/lr_schedule.py",
        "total, warmup = recipe.length * unit, setting.warmup * unit",
        "total, warmup = recipe.length * unit, setting.warmup * unit + 1",
        _name_test("classification", "digits_finetune-learning_rates"),
    ),
    "another number of masked patches moves a pin": Guard(
        "pretraining/models/patches.py",
        "count = int(num_patches * (1 - mask_ratio))",
        "count = int(num_patches * (1 - mask_ratio)) + 1",
        _name_test("pretraining", "mae_digits-losses"),
    ),
    "another border of a crop moves a pin": Guard(
        "tracking/data/crops.py",
        'lost = 1 if geometry == "ostrack" else 0',
        "lost = 0",
        _name_test("tracking", "ostrack256-preprocessing"),
    ),
    "another rule of weight decay moves a pin": Guard(
        "engine/optimizer.py",
        'all_shapes = setting.decay_all or setting.decay_rule == "detectron2"',
        "all_shapes = setting.decay_all",
        _name_test("detection", "mini_coco_vitdet-optimizer"),
    ),
    "ignored pixels that count move a pin": Guard(
        "segmentation/metrics.py",
        "    counts = truth != IGNORE_INDEX\n",
        "    truth = np.where(truth == IGNORE_INDEX, 0, truth)\n    counts = truth != IGNORE_INDEX\n",
        _name_test("segmentation", "all_protocols-scores"),
    ),
}
