"""A backbone of bench in a config of mmsegmentation, trained and tested by mmsegmentation's own tools.

python -m mim run mmsegmentation train mmseg_config.py, or Runner.from_cfg(Config.fromfile("mmseg_config.py")).train()
"""

# registers BenchBackbone and BenchLayerDecayConstructor with mmsegmentation
custom_imports = {"imports": ["segmentation.models.backbone"]}
default_scope = "mmseg"

crop = 512
data_root = "data/ADEChallengeData2016"
# on several GPUs "SyncBN"
norm_cfg = {"type": "BN", "requires_grad": True}

model = {
    "type": "EncoderDecoder",
    "data_preprocessor": {
        "type": "SegDataPreProcessor",
        # those of the backbone's card times 255 (bench show backbone NAME)
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "bgr_to_rgb": True,
        "pad_val": 0,
        "seg_pad_val": 255,
        "size": (crop, crop),
    },
    "backbone": {
        "type": "BenchBackbone",
        "name": "mae_distill_tiny",  # any name of bench list backbones, or timm/NAME; its weights are loaded
        "img_size": crop,
        "drop_path_rate": 0.1,
    },
    "neck": {"type": "Feature2Pyramid", "embed_dim": 192, "rescales": [4, 2, 1, 0.5], "norm_cfg": norm_cfg},
    "decode_head": {
        "type": "UPerHead",
        "in_channels": [192, 192, 192, 192],
        "in_index": [0, 1, 2, 3],
        "pool_scales": (1, 2, 3, 6),
        "channels": 192,
        "dropout_ratio": 0.1,
        "num_classes": 150,
        "norm_cfg": norm_cfg,
        "align_corners": False,
        "loss_decode": {"type": "CrossEntropyLoss", "use_sigmoid": False, "loss_weight": 1.0},
    },
    # {"mode": "whole"} works too: images are filled up to whole patches
    "test_cfg": {"mode": "slide", "crop_size": (crop, crop), "stride": (crop * 2 // 3, crop * 2 // 3)},
}

train_pipeline = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations"},
    {"type": "RandomResize", "scale": (4 * crop, crop), "ratio_range": (0.5, 2.0), "keep_ratio": True},
    {"type": "RandomCrop", "crop_size": (crop, crop), "cat_max_ratio": 0.75},
    {"type": "RandomFlip", "prob": 0.5},
    {"type": "PhotoMetricDistortion"},
    {"type": "PackSegInputs"},
]
test_pipeline = [
    {"type": "LoadImageFromFile"},
    {"type": "Resize", "scale": (4 * crop, crop), "keep_ratio": True},
    {"type": "LoadAnnotations"},
    {"type": "PackSegInputs"},
]
train_dataloader = {
    "batch_size": 16,
    "num_workers": 4,
    "sampler": {"type": "InfiniteSampler", "shuffle": True},
    "dataset": {
        "type": "ADE20KDataset",
        "data_root": data_root,
        "data_prefix": {"img_path": "images/training", "seg_map_path": "annotations/training"},
        "pipeline": train_pipeline,
    },
}
val_dataloader = {
    "batch_size": 1,
    "num_workers": 4,
    "sampler": {"type": "DefaultSampler", "shuffle": False},
    "dataset": {
        "type": "ADE20KDataset",
        "data_root": data_root,
        "data_prefix": {"img_path": "images/validation", "seg_map_path": "annotations/validation"},
        "pipeline": test_pipeline,
    },
}
test_dataloader = val_dataloader
val_evaluator = {"type": "IoUMetric", "iou_metrics": ["mIoU"]}
test_evaluator = val_evaluator

optim_wrapper = {
    "type": "OptimWrapper",
    "optimizer": {"type": "AdamW", "lr": 1e-4, "weight_decay": 0.05},
    # mmsegmentation's LearningRateDecayOptimizerConstructor raises NotImplementedError for this backbone
    "constructor": "BenchLayerDecayConstructor",
    "paramwise_cfg": {"layer_decay": 0.65},
}
param_scheduler = [
    {"type": "LinearLR", "start_factor": 1e-6, "by_epoch": False, "begin": 0, "end": 1500},
    {"type": "PolyLR", "power": 1.0, "eta_min": 0.0, "by_epoch": False, "begin": 1500, "end": 160000},
]
train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 160000, "val_interval": 16000}
val_cfg = {"type": "ValLoop"}
test_cfg = {"type": "TestLoop"}
default_hooks = {"checkpoint": {"type": "CheckpointHook", "by_epoch": False, "interval": 16000}}
