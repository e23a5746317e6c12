"""The kinds of files and containers that people bring: each loads with equal features, or is refused for its reason."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import Tensor, nn

from backbones.checkpoints.load_weights import LoadReport, load_weight_file
from backbones.checkpoints.read_checkpoint import find_identity_key, find_request_key, read_weights
from backbones.weights import hash_weight_file, require_weight_file
from foundation.errors import CheckpointError
from foundation.weights.shard_index import count_weight_bytes
from tests.backbones.checkpoints.weights import State, add_prefix, mae_decoder_state, make_vit, random_state

Write = Callable[[Path, State], Path]
LOADS: dict[str, tuple[Write, str | None, str | None]] = {}
"""A writer of a form, the key that is asked for, and the key in the id."""
REFUSED: dict[str, tuple[Write, str]] = {}


def loads(key: str | None = None, id_key: str | None = None) -> Callable[[Write], Write]:
    """A writer of a file whose weights have the state that it is given."""

    def add(write: Write) -> Write:
        LOADS[write.__name__] = (write, key, id_key)
        return write

    return add


def refused(says: str) -> Callable[[Write], Write]:
    """A writer of a file that is refused, and what the sentence says."""

    def add(write: Write) -> Write:
        REFUSED[write.__name__] = (write, says)
        return write

    return add


def save(content: Any, folder: Path, name: str = "w.pth") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, folder / name)
    return folder / name


def other() -> State:
    """Other weights of the same model, which nothing may take by mistake."""
    return random_state(make_vit(), seed=9)


def steps() -> Tensor:
    return torch.tensor(7)


def inside(state: State, name: str, *modules: str) -> State:
    """The state with the name of a wrapper behind some modules, as FSDP puts it."""
    return {
        next(
            (f"{module}.{name}.{key[len(module) + 1 :]}" for module in modules if key.startswith(f"{module}.")), key
        ): v
        for key, v in state.items()
    }


# running averages ---------------------------------------------------------------------------------------------------


@loads(id_key="state_dict_ema")
def timm_with_average(folder: Path, state: State) -> Path:
    return save({"arch": "x", "state_dict": other(), "state_dict_ema": state, "epoch": 3}, folder)


@loads(id_key="model_ema")
def deit_with_average(folder: Path, state: State) -> Path:
    return save({"model": other(), "model_ema": state, "optimizer": {"state": {0: {"exp_avg": state}}}}, folder)


@loads(id_key="model_ema.module")
def nested_average(folder: Path, state: State) -> Path:
    return save({"model": other(), "model_ema": {"module": state, "decay": 0.9}}, folder)


@loads(id_key="ema.shadow")
def average_as_shadow(folder: Path, state: State) -> Path:
    return save({"model": other(), "ema": {"decay": torch.tensor(0.9), "shadow": state}}, folder)


@loads()
def average_alone(folder: Path, state: State) -> Path:
    return save({"model_ema": add_prefix("module.", state)}, folder)


@loads()
def average_beside_a_random_state(folder: Path, state: State) -> Path:
    """Every bench has taken it, so the id is what it was."""
    return save({"state_dict_ema": state, "rng_state": torch.zeros(8, dtype=torch.uint8)}, folder)


@loads(key="state_dict")
def the_plain_weights_beside_an_average(folder: Path, state: State) -> Path:
    return save({"state_dict": state, "state_dict_ema": other()}, folder)


@loads(key="model_ema.module", id_key="model_ema.module")
def a_nested_average_by_its_key(folder: Path, state: State) -> Path:
    return save({"model": other(), "model_ema": {"module": state}}, folder)


@loads()
def average_as_a_list_without_names(folder: Path, state: State) -> Path:
    return save({"model": state, "ema": {"decay": 0.9, "shadow_params": list(other().values())}}, folder)


@loads()
def average_under_a_prefix_beside_the_model(folder: Path, state: State) -> Path:
    names = {**add_prefix("model.", state), **add_prefix("model_ema.module.", other())}
    return save({"state_dict": names}, folder)


@loads()
def average_of_lightning_beside_the_model(folder: Path, state: State) -> Path:
    return save({"state_dict": {**add_prefix("model.", state), **add_prefix("ema_model.", other())}}, folder)


@loads()
def an_average_that_is_a_number(folder: Path, state: State) -> Path:
    return save({"model": state, "ema": {"decay": torch.tensor(0.999)}}, folder)


@loads()
def swa(folder: Path, state: State) -> Path:
    return save({"n_averaged": steps(), **add_prefix("module.", state)}, folder)


@loads()
def mmengine_average(folder: Path, state: State) -> Path:
    """mmengine exchanges the two when it saves, so that ``state_dict`` is the average."""
    raw = {"steps": steps(), **add_prefix("module.backbone.", other())}
    return save({"meta": {}, "state_dict": add_prefix("backbone.", state), "ema_state_dict": raw}, folder)


@loads(key="ema_state_dict", id_key="ema_state_dict")
def mmengine_raw_weights(folder: Path, state: State) -> Path:
    raw = {"steps": steps(), **add_prefix("module.backbone.", state)}
    return save({"state_dict": add_prefix("backbone.", other()), "ema_state_dict": raw}, folder)


@loads(id_key="callbacks.EMA{'decay': 0.9}.ema_state_dict")
def lightning_average(folder: Path, state: State) -> Path:
    callbacks = {"EMA{'decay': 0.9}": {"ema_state_dict": add_prefix("model.", state)}, "Checkpoint": {"best": 3}}
    return save({"state_dict": add_prefix("model.", other()), "callbacks": callbacks, "loops": {}}, folder)


@loads()
def mmcv_average(folder: Path, state: State) -> Path:
    backup = {"ema_" + name.replace(".", "_"): value for name, value in other().items()}
    return save({"state_dict": add_prefix("backbone.", state) | backup}, folder)


# students and teachers ----------------------------------------------------------------------------------------------


@loads()
def dino(folder: Path, state: State) -> Path:
    head = {"module.head.mlp.0.weight": torch.zeros(4, 48)}
    student = add_prefix("module.backbone.", other()) | head
    teacher = add_prefix("backbone.", state) | {"head.mlp.0.weight": torch.zeros(4, 48)}
    return save({"student": student, "teacher": teacher, "epoch": 100}, folder)


@loads(key="student", id_key="student")
def dino_student(folder: Path, state: State) -> Path:
    return save({"student": add_prefix("module.backbone.", state), "teacher": add_prefix("backbone.", other())}, folder)


@loads()
def dino_student_alone(folder: Path, state: State) -> Path:
    return save({"student": add_prefix("module.backbone.", state)}, folder)


@loads()
def teacher_and_student_in_one_mapping(folder: Path, state: State) -> Path:
    teacher = add_prefix("teacher.backbone.", state) | {"teacher.dino_head.mlp.0.weight": torch.zeros(4, 48)}
    return save({"state_dict": add_prefix("student.backbone.", other()) | teacher}, folder)


@loads(key="student", id_key="state_dict.student")
def student_by_the_beginning_of_its_names(folder: Path, state: State) -> Path:
    student = add_prefix("student.backbone.", state)
    return save({"state_dict": student | add_prefix("teacher.backbone.", other())}, folder)


@loads()
def student_beside_a_wider_teacher(folder: Path, state: State) -> Path:
    teacher = random_state(make_vit(embed_dim=96))
    return save({"state_dict": {**add_prefix("student.", state), **add_prefix("teacher.", teacher)}}, folder)


@loads()
def byol(folder: Path, state: State) -> Path:
    """The network itself and not its momentum copy, as of MoCo."""
    state = add_prefix("backbone.", state) | add_prefix("backbone_momentum.", other())
    return save({"state_dict": state | {"projection_head.layers.0.weight": torch.zeros(4, 48)}}, folder)


# wrappers and prefixes ----------------------------------------------------------------------------------------------


def prefixed(prefix: str) -> Write:
    def write(folder: Path, state: State) -> Path:
        return save({"state_dict": add_prefix(prefix, state), "hyper_parameters": {"lr": 0.1}}, folder)

    return write


for _prefix in (
    "net.",
    "vit.",
    "encoder.",
    "trunk.",
    "feature_extractor.",
    "model.feature_extractor.vit.",
    "backbone.module.",
    "_forward_module.model.",
    "_orig_mod.module.",
    "a.b.c.d.",
):
    LOADS[f"prefix {_prefix}"] = (prefixed(_prefix), None, None)


@loads()
def fsdp(folder: Path, state: State) -> Path:
    wrapped = inside(state, "_fsdp_wrapped_module", *(f"blocks.{i}" for i in range(3)))
    wrapped = inside(wrapped, "_checkpoint_wrapped_module", *(f"blocks.{i}._fsdp_wrapped_module" for i in range(3)))
    return save({"model": add_prefix("_fsdp_wrapped_module.", wrapped)}, folder)


@loads()
def compiled_blocks(folder: Path, state: State) -> Path:
    return save(inside(state, "_orig_mod", "blocks.0", "blocks.1", "patch_embed"), folder)


@loads()
def prefix_beside_a_larger_decoder(folder: Path, state: State) -> Path:
    decoder = {f"decoder_blocks.{i}.{name}": v for i in range(3) for name, v in mae_decoder_state(48, 17).items()}
    return save({"model": add_prefix("net.", state) | decoder}, folder)


@loads()
def bench_tracking_run(folder: Path, state: State) -> Path:
    positions = {f"backbone.{name}_positions": torch.zeros(1, 16, 48) for name in ("template", "search")}
    head = {f"head.{tower}.0.weight": torch.zeros(4, 4) for tower in ("score", "offset", "size")}
    return save({"state_dict": {**add_prefix("backbone.vit.", state), **positions, **head, "skipped": steps()}}, folder)


@loads()
def bench_segmentation_run(folder: Path, state: State) -> Path:
    head = {"decode_head.conv_seg.weight": torch.zeros(3, 4, 1, 1), "neck.branches.0.weight": torch.zeros(4, 4)}
    return save({"state_dict": add_prefix("backbone.trunk.", state) | head, "step": 3}, folder)


# what is beside the weights -----------------------------------------------------------------------------------------


@loads()
def parameters(folder: Path, state: State) -> Path:
    return save(OrderedDict((name, nn.Parameter(value)) for name, value in state.items()), folder)


@loads()
def mmengine_log(folder: Path, state: State) -> Path:
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    hub = {"log_scalars": OrderedDict({"train/loss": history}), "runtime_info": {"best": np.float64(0.5)}}
    return save({"state_dict": state, "message_hub": hub, "meta": {"seed": np.arange(3)}}, folder)


@loads()
def options_with_paths_and_counts(folder: Path, state: State) -> Path:
    return save({"model": state, "args": {"out": Path("runs"), "counts": defaultdict(int, a=1)}}, folder)


@loads()
def deepspeed(folder: Path, state: State) -> Path:
    content = {"module": state, "buffer_names": [], "dp_world_size": 8, "mp_world_size": 1, "optimizer": None}
    return save(content, folder, "global_step5/mp_rank_00_model_states.pt")


@loads()
def only_mapping_of_an_unknown_name(folder: Path, state: State) -> Path:
    return save({"my_weights": state, "optimizer": {"state": {0: {"exp_avg": torch.zeros(4, 4)}}}}, folder)


# folders and shards -------------------------------------------------------------------------------------------------


def write_shards(folder: Path, state: State, *, safetensors: bool) -> Path:
    """Two shards and an index, as ``transformers`` writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    stem, suffix = ("model", "safetensors") if safetensors else ("pytorch_model", "bin")
    parts: dict[str, State] = {f"{stem}-0000{i + 1}-of-00002.{suffix}": {} for i in range(2)}
    place = {}
    for number, (name, value) in enumerate(state.items()):
        place[name] = list(parts)[number % 2]
        parts[place[name]][name] = value
    for file, part in parts.items():
        if safetensors:
            save_file(part, folder / file, metadata={"format": "pt"})
        else:
            torch.save(part, folder / file)
    index = folder / f"{stem}.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": place}))
    return index


@loads()
def sharded_safetensors(folder: Path, state: State) -> Path:
    return write_shards(folder, state, safetensors=True)


@loads()
def sharded_torch_in_a_folder(folder: Path, state: State) -> Path:
    return write_shards(folder / "model", state, safetensors=False).parent


@loads()
def folder_of_transformers(folder: Path, state: State) -> Path:
    """Of two formats of the same weights, safetensors."""
    (folder / "config.json").write_text("{}")
    save_file(state, folder / "model.safetensors")
    save(other(), folder, "pytorch_model.bin")
    save({}, folder, "training_args.bin")
    return folder


@loads()
def folder_with_one_file(folder: Path, state: State) -> Path:
    save(state, folder, "my_best_epoch.ckpt")
    (folder / "log.txt").write_text("done")
    return folder


@refused("2 weight files (a.pth, b.pt)")
def folder_with_two_files(folder: Path, state: State) -> Path:
    save(state, folder, "a.pth")
    save(state, folder, "b.pt")
    return folder


@refused("folder without weights")
def folder_with_settings_only(folder: Path, state: State) -> Path:
    (folder / "config.json").write_text("{}")
    save({}, folder, "training_args.bin")
    return folder


@refused("distributed checkpoint of PyTorch")
def folder_of_distcp(folder: Path, state: State) -> Path:
    for name in (".metadata", "__0_0.distcp", "__1_0.distcp"):
        (folder / name).write_bytes(b"x")
    return folder


@refused("TensorFlow SavedModel")
def saved_model(folder: Path, state: State) -> Path:
    (folder / "saved_model.pb").write_bytes(b"x")
    return folder


@refused("Flax or TensorFlow only")
def folder_of_flax(folder: Path, state: State) -> Path:
    (folder / "flax_model.msgpack").write_bytes(b"x")
    return folder


@refused("its newest global_step folder")
def folder_of_deepspeed(folder: Path, state: State) -> Path:
    (folder / "latest").write_text("global_step5")
    save({}, folder, "global_step5/zero_pp_rank_0_mp_rank_00_optim_states.pt")
    return folder


def index_of(folder: Path, place: Any) -> Path:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": place}))
    return index


@refused("names the file '../secret.safetensors'")
def index_that_leaves_its_folder(folder: Path, state: State) -> Path:
    save_file(state, folder / "secret.safetensors")
    (folder / "in").mkdir()
    return index_of(folder / "in", dict.fromkeys(state, "../secret.safetensors"))


@refused("names the file '/etc/passwd'")
def index_of_an_absolute_path(folder: Path, state: State) -> Path:
    return index_of(folder, dict.fromkeys(state, "/etc/passwd"))


@refused("which is no weight file")
def index_of_itself(folder: Path, state: State) -> Path:
    return index_of(folder, dict.fromkeys(state, "model.safetensors.index.json"))


@refused("1 of their 2 files are missing")
def shard_missing(folder: Path, state: State) -> Path:
    index = write_shards(folder, state, safetensors=True)
    (folder / "model-00002-of-00002.safetensors").unlink()
    return index


@refused("are in none of its files")
def shard_without_a_tensor(folder: Path, state: State) -> Path:
    index = write_shards(folder, state, safetensors=True)
    save_file({"cls_token": state["cls_token"]}, folder / "model-00001-of-00002.safetensors")
    return index


@refused("two files of")
def tensor_in_two_shards(folder: Path, state: State) -> Path:
    index = write_shards(folder, state, safetensors=False)
    save(state, folder, "pytorch_model-00001-of-00002.bin")
    return index


@refused("lists no tensors under weight_map")
def index_of_nothing(folder: Path, state: State) -> Path:
    return index_of(folder, {})


@refused("cannot be read")
def index_that_is_no_json(folder: Path, state: State) -> Path:
    (folder / "w.safetensors.index.json").write_bytes(b"[" * 100_000)
    return folder / "w.safetensors.index.json"


# what holds no weights that bench can read --------------------------------------------------------------------------


@refused("zero_to_fp32.py")
def zero_stage_3(folder: Path, state: State) -> Path:
    module = {name: torch.zeros(0) for name in state}
    return save({"module": module, "param_shapes": [{k: v.shape for k, v in state.items()}]}, folder)


@refused("one of 4 parts")
def deepspeed_model_parallel(folder: Path, state: State) -> Path:
    return save({"module": state, "mp_world_size": 4}, folder)


@refused("w.pth (its model_ema; --weights-key takes others: model) does not fit the backbone")
def average_of_a_part(folder: Path, state: State) -> Path:
    return save({"model": state, "model_ema": {k: v for k, v in state.items() if "mlp" not in k}}, folder)


@refused("holds no weights")
def mappings_that_refer_to_each_other(folder: Path, state: State) -> Path:
    """2,000 references to a mapping of 2,000 references: ended by the limit, not by four million steps or more."""
    inner: dict[str, Any] = {"a": 1}
    for _ in range(3):
        inner = {str(i): inner for i in range(2000)}
    return save(inner, folder)


@refused("choose one of them with --weights-key: first, second")
def two_versions_of_unknown_names(folder: Path, state: State) -> Path:
    return save({"first": state, "second": other()}, folder)


@refused("choose one of them with --weights-key: left, right")
def two_copies_of_the_trunk(folder: Path, state: State) -> Path:
    return save(add_prefix("left.", state) | add_prefix("right.", other()), folder)


@refused("Git-LFS pointer")
def lfs_pointer(folder: Path, state: State) -> Path:
    return write_bytes(folder, b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


@refused("HDF5")
def hdf5(folder: Path, state: State) -> Path:
    return write_bytes(folder, b"\x89HDF\r\n\x1a\n" + bytes(600))


@refused("ONNX")
def onnx(folder: Path, state: State) -> Path:
    return write_bytes(folder, b"\x08\x08\x12\x07pytorch\x1a\x052.5.0" + bytes(600))


@refused("archive of NumPy arrays")
def npz(folder: Path, state: State) -> Path:
    buffer = io.BytesIO()
    np.savez(buffer, **{"embedding/kernel": np.zeros((16, 16, 3, 48))})
    return write_bytes(folder, buffer.getvalue(), "w.npz")


@refused("single NumPy array")
def npy(folder: Path, state: State) -> Path:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return write_bytes(folder, buffer.getvalue())


@refused("GGUF")
def gguf(folder: Path, state: State) -> Path:
    return write_bytes(folder, b"GGUF" + bytes(600))


@refused("TensorFlow checkpoint")
def tensorflow(folder: Path, state: State) -> Path:
    return write_bytes(folder, bytes(600), "model.ckpt-100.data-00000-of-00001")


@refused("TensorFlow Lite")
def tflite(folder: Path, state: State) -> Path:
    return write_bytes(folder, b"\x1c\x00\x00\x00TFL3" + bytes(600))


@refused("network of OpenVINO")
def openvino(folder: Path, state: State) -> Path:
    return write_bytes(folder, b'<?xml version="1.0"?>\n<net name="vit" version="11">', "model.xml")


@refused("text in JSON")
def configuration(folder: Path, state: State) -> Path:
    return write_bytes(folder, b'{"architectures": ["ViTModel"]}', "config.json")


@refused("a program of torch.export")
def exported_program(folder: Path, state: State) -> Path:
    with zipfile.ZipFile(folder / "w.pt2", "w") as archive:
        archive.writestr("w/archive_format", "pt2")
    return folder / "w.pt2"


@refused("compressed with gzip")
def gzip(folder: Path, state: State) -> Path:
    return write_bytes(folder, b"\x1f\x8b" + bytes(600))


@refused("save only its weights with torch.save")
def whole_model(folder: Path, state: State) -> Path:
    return save({"model": make_vit(), "epoch": 3}, folder)


@refused("the names in the file begin with layers. (6)")
def other_architecture(folder: Path, state: State) -> Path:
    return save({f"layers.{i}.{kind}": torch.zeros(3, 3) for i in range(3) for kind in ("a", "b")}, folder)


@refused("after removing wrap.")
def a_part_of_the_trunk_under_a_prefix(folder: Path, state: State) -> Path:
    return save({f"wrap.{name}": value for name, value in state.items() if "blocks.0" in name}, folder)


@refused("have the backbone's names and another shape (cls_token 1x1x96 in the file, 1x1x48 in the backbone)")
def other_width(folder: Path, state: State) -> Path:
    return save(random_state(make_vit(embed_dim=96)), folder)


def write_bytes(folder: Path, content: bytes, name: str = "w.bin") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.fixture(scope="module")
def source() -> nn.Module:
    model = make_vit().eval()
    model.load_state_dict(random_state(model))
    return model


def load(path: Path, weights_key: str | None = None) -> tuple[nn.Module, LoadReport]:
    model = make_vit().eval()
    return model, load_weight_file(model, read_weights(path, weights_key), allow_partial=False)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", LOADS)
def test_it_loads_with_equal_features(name: str, source: nn.Module, tmp_path: Path) -> None:
    write, key, id_key = LOADS[name]
    path = write(tmp_path, random_state(source))
    model, report = load(path, key)
    assert report.matched_fraction == 1
    image = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.no_grad():
        difference = model.forward_features(image) - source.forward_features(image)
    assert difference.abs().max() < 1e-5
    assert find_identity_key(path, key) == id_key
    asked_again = find_request_key(path, id_key)
    assert find_identity_key(path, asked_again) == id_key, "a run is made again from the same weights"
    if id_key is not None or key is not None:
        assert any("not used" in note for note in report.notes) or "." in str(id_key)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_for_its_reason(name: str, source: nn.Module, tmp_path: Path) -> None:
    write, says = REFUSED[name]
    path = write(tmp_path, random_state(source))
    with pytest.raises(CheckpointError) as caught:
        load(path)
    message = str(caught.value)
    assert says in message
    assert "\n" not in message and len(message) < 1000
    # a hint about the final norm only where that is what was seen
    assert "norm" not in message.replace("norm.weight", "").replace("norm1", "").partition("missing")[0]


def test_there_are_enough_forms() -> None:
    assert len(LOADS) >= 40 and len(REFUSED) >= 30


def test_the_missing_norm_is_a_hint_only_where_it_is_what_lacks(tmp_path: Path) -> None:
    state = {name: value for name, value in random_state(make_vit()).items() if not name.startswith("norm.")}
    with pytest.raises(CheckpointError, match=r"it has no final norm; choose"):
        load(save(state, tmp_path))
    pooled = state | {"fc_norm.weight": torch.zeros(48), "fc_norm.bias": torch.zeros(48)}
    with pytest.raises(CheckpointError, match=r"it has fc_norm in place of norm"):
        load(save(pooled, tmp_path))
    with pytest.raises(CheckpointError) as caught:
        load(save({f"x.{name}": torch.zeros(2) for name in "abc"}, tmp_path))
    assert "final norm" not in str(caught.value)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (average_as_a_list_without_names, "the running average under ema has no names and is not used"),
        (average_under_a_prefix_beside_the_model, "--weights-key model_ema.module takes it"),
        (average_of_lightning_beside_the_model, "--weights-key ema_model takes it"),
        (student_beside_a_wider_teacher, "--weights-key teacher takes it"),
    ],
)
def test_what_is_left_aside_is_said(write: Write, says: str, source: nn.Module, tmp_path: Path) -> None:
    path = write(tmp_path, random_state(source))
    notes = load(path)[1].notes
    assert sum(says in note for note in notes) == 1, notes
    if "model_ema" in says or "ema_model" in says:
        model, _ = load(path, says.split()[1])
        assert all(
            torch.equal(value, other()[name]) for name, value in model.state_dict().items() if "head" not in name
        )


def test_the_final_norm_is_not_left_out_of_a_model_without_any(source: nn.Module, tmp_path: Path) -> None:
    """Its features would be others than those of the file's model."""
    model = make_vit(final_norm=False)
    file = read_weights(save(random_state(source), tmp_path))
    with pytest.raises(CheckpointError, match=r"unexpected: norm\.weight 48"):
        load_weight_file(model, file, allow_partial=False)


def test_a_module_of_the_model_is_no_wrapper(tmp_path: Path) -> None:
    """timm's ViTs of vision-language models have a module "encoder" themselves."""

    class Wrapping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.merge, self.pretrained_cfg = make_vit(), nn.Linear(48, 8), {"classifier": "head"}

    source, model = Wrapping(), Wrapping()
    report = load_weight_file(model, read_weights(save(source.state_dict(), tmp_path)), allow_partial=False)
    assert report.is_complete
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in model.state_dict().items())


def test_a_changed_shard_is_another_start(tmp_path: Path) -> None:
    state = random_state(make_vit())
    index = write_shards(tmp_path, state, safetensors=True)
    before = hash_weight_file(index)
    single = save(state, tmp_path, "single.pth")
    assert hash_weight_file(single) != before
    assert count_weight_bytes(index) == sum(file.stat().st_size for file in tmp_path.glob("model*"))
    shard = tmp_path / "model-00002-of-00002.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\0\1"[:1])
    changed = shard.read_bytes()
    shard.write_bytes(changed[:-4] + struct.pack("<f", 0.5))
    assert hash_weight_file(index) != before
    write_shards(tmp_path, state, safetensors=True)
    assert hash_weight_file(index) == before, "the same content is the same start"


def test_an_index_of_a_folder_stands_for_it(tmp_path: Path) -> None:
    index = write_shards(tmp_path / "model", random_state(make_vit()), safetensors=True)
    assert require_weight_file(index.parent) == index


def test_many_cells_read_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save({"model": random_state(make_vit()), "model_ema": other()}, tmp_path)
    found: list[Any] = []
    whole = torch.load
    monkeypatch.setattr(torch, "load", lambda *words, **options: found.append(options) or whole(*words, **options))
    keys = {find_identity_key(path) for _ in range(5)}
    assert keys == {"model_ema"}
    assert [options["mmap"] for options in found] == [True]
    assert find_identity_key(path, "model") is None


def test_numpy_in_a_file_is_never_made(tmp_path: Path) -> None:
    """An array in a log could claim any size; it becomes an inert object, and the weights are read."""
    path = save({"model": random_state(make_vit()), "log": np.zeros(4)}, tmp_path)
    from backbones.checkpoints.read_checkpoint import read_raw_weights

    content = read_raw_weights(path).content
    assert isinstance(content, dict)
    assert type(content["log"]).__name__ == "InertObject"
