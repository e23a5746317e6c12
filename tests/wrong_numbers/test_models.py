"""A backbone's code counts: what was edited under the same name is another backbone, in its id and in every cache."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from timm.models import _registry
from torch import nn

import backbones.architectures  # noqa: F401  # registers ours with timm
from backbones import model_digest
from backbones.card import BackboneCard
from backbones.memory_modules.memory_module import make_memory_card
from backbones.memory_modules.module_hash import hash_plain_attributes, hash_tensor_shapes
from backbones.model_digest import ModelDigest
from backbones.registry import BACKBONES, get_card, list_plugin_modules
from backbones.weights import InitialWeights, locate_weights
from benchmarks.resolve_cell import CellRequest
from benchmarks.run_cell import run_cell
from benchmarks.task_registry import TASKS, describe_task_source
from engine.task import RunPlan, RunRequest
from foundation import source_hash
from foundation.code_modules import list_code_modules
from foundation.errors import UserError
from foundation.registry import Registry
from foundation.source_hash import OWN_ROOMS, hash_module_sources
from tests.conftest import ROOT
from tests.house_metrics import ROOMS

HALF = (0.5, 0.5, 0.5)
ARGUMENTS = {"img_size": 32, "num_classes": 0}
PLUGIN = {
    "their_package/__init__.py": "",
    "their_package/vit.py": """\
import json
from pathlib import Path

from timm.models import build_model_with_cfg, register_model
from timm.models.vision_transformer import VisionTransformer

import their_helper
from . import sizes


@register_model
def their_vit(pretrained=False, **kwargs):
    import their_late_helper

    table = json.loads(Path(__file__).with_name("table.json").read_text())
    size = {"img_size": 32, "patch_size": 16, "num_heads": 2, **table, **sizes.SIZES}
    return build_model_with_cfg(VisionTransformer, "their_vit", False, **{**size, **kwargs})
""",
    "their_package/sizes.py": "SIZES = {'depth': 2}\n",
    "their_package/table.json": '{"embed_dim": 32}',
    "their_helper.py": "from their_other_helper import FACTOR\n",
    "their_other_helper.py": "FACTOR = 1\n",
    "their_late_helper.py": "OFFSET = 1\n",
    "unrelated.py": "VALUE = 1\n",
}
MODULES = ("their_package", "their_helper", "their_other_helper", "their_late_helper")


def write_files(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    invalidate_caches()  # as a new process begins
    return folder


def forget_modules() -> None:
    """As in a new process: nothing of the plug-in is imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] in MODULES]:
        del sys.modules[name]
    source_hash._FIRST_PARTS.clear()
    invalidate_caches()


pytestmark = pytest.mark.filterwarnings("ignore:Overwriting their_vit")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on Python's path that holds the plug-in; digests of models are kept in a folder of the test's own."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    folder = write_files(tmp_path / "site", PLUGIN)
    monkeypatch.syspath_prepend(folder)
    tables = [each for name, each in vars(_registry).items() if name[:4] == "_mod" and isinstance(each, dict | set)]
    before = [copy_table(table) for table in tables]
    yield folder
    forget_modules()
    for table, old in zip(tables, before, strict=True):  # timm forgets what a test has registered
        table.clear()
        table.update(old)


def copy_table(table: Any) -> Any:
    return {key: copy(value) for key, value in table.items()} if isinstance(table, dict) else set(table)


def hash_plugin() -> str:
    found = hash_module_sources("their_package.vit")
    assert found is not None and found.is_current
    return found.sha256


def make_request(card: BackboneCard, start: InitialWeights | None = None) -> RunRequest:
    return RunRequest(card, start or locate_weights(card, "random"), "knn", "smoke", 0, (), Path("data"), "cpu")


def describe(card: BackboneCard | None = None, **arguments: Any) -> ModelDigest:
    card = card or BackboneCard("theirs", "their_vit", "", input_size=(3, 32, 32), module="their_package.vit")
    return make_request(card).describe_model({**ARGUMENTS, **arguments})


# --- the source of a plug-in


EDITS = {
    "its own file": ("their_package/vit.py", ('"num_heads": 2', '"num_heads": 4')),
    "a module beside it in the package": ("their_package/sizes.py", ("2", "1")),
    "a table that it reads": ("their_package/table.json", ("32", "64")),
    "a local file that it imports": ("their_helper.py", ("FACTOR", "FACTOR as OTHER")),
    "a file that this one imports": ("their_other_helper.py", ("1", "2")),
    "a file that a function imports": ("their_late_helper.py", ("1", "2")),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_plugin_has_another_digest(what: str, site: Path) -> None:
    before = hash_plugin()
    name, (old, new) = EDITS[what]
    path = site / name
    text = path.read_text()
    path.write_text(text.replace(old, new))
    assert path.read_text() != text and hash_plugin() != before
    path.write_text(text)
    assert hash_plugin() == before


def test_what_it_does_not_import_and_where_it_lies_make_no_difference(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = hash_plugin()
    (site / "unrelated.py").write_text("VALUE = 2\n")
    (site / "their_package" / "__pycache__").mkdir()
    (site / "their_package" / "__pycache__" / "vit.cpython-311.pyc").write_bytes(b"compiled")
    (site / "their_package" / ".vit.py.swp").write_bytes(b"an editor's")
    write_files(site, {"other-2.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: other\nVersion: 2.0\n"})
    assert hash_plugin() == before
    monkeypatch.undo()
    monkeypatch.syspath_prepend(shutil.copytree(site, tmp_path / "elsewhere"))
    assert hash_plugin() == before


def test_a_library_counts_by_its_version_unless_it_was_built_here(site: Path) -> None:
    info = "their_helper-1.0.dist-info"
    files = {
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: their_helper\nVersion: 1.0\n",
        f"{info}/RECORD": "their_helper.py,,\n",
    }
    write_files(site, files)
    source_hash._search_file_lists.cache_clear()
    found = hash_module_sources("their_package.vit")
    assert found is not None and "their-helper==1.0" in found.parts
    assert not any("their_other_helper" in part for part in found.parts), "what a library imports is its own business"
    before = hash_plugin()
    (site / "their_helper.py").write_text("")
    assert hash_plugin() == before
    write_files(site, {f"{info}/METADATA": files[f"{info}/METADATA"].replace("1.0", "1.1")})
    source_hash._search_file_lists.cache_clear()
    assert hash_plugin() != before
    write_files(site, {f"{info}/direct_url.json": '{"url": "file:///a/folder", "dir_info": {}}'})
    source_hash._search_file_lists.cache_clear()
    before = hash_plugin()
    (site / "their_helper.py").write_text("FACTOR = 3\n")
    assert hash_plugin() != before, "the same version is built anew from an edited folder"
    # the plug-in itself counts by content, however it was installed
    write_files(site, {f"{info}/RECORD": "their_package/__init__.py,,\n"})
    (site / info / "direct_url.json").unlink()
    source_hash._search_file_lists.cache_clear()
    before = hash_plugin()
    (site / "their_package" / "sizes.py").write_text("SIZES = {'depth': 3}\n")
    assert hash_plugin() != before
    source_hash._search_file_lists.cache_clear()


def test_a_namespace_and_a_single_file(site: Path) -> None:
    files = {
        "company/models/net.py": "from . import parts\nfrom ..shared import scale\nimport importlib\n"
        'importlib.import_module("their_other_helper")\n',
        "company/models/parts.py": "WIDTH = 1\n",
        "company/shared.py": "scale = 1\n",
        "company/unrelated.py": "",
    }
    write_files(site, files)
    found = hash_module_sources("company.models.net")
    assert found is not None
    names = [part.split()[0] for part in found.parts]
    assert names == ["company/models/net.py", "company/models/parts.py", "company/shared.py", "their_other_helper.py"]


def test_imports_in_a_circle_end(site: Path) -> None:
    write_files(site, {"their_other_helper.py": "import their_package.vit, their_helper\n"})
    found = hash_module_sources("their_package.vit", "their_other_helper")
    assert found is not None and found.packages == set(MODULES)
    assert found.covers_module("their_package.sizes") and not found.covers_module("their_pack")


def test_without_a_source_there_is_no_digest(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as file:
        file.writestr("packed.py", "")
    monkeypatch.syspath_prepend(tmp_path / "packed.zip")
    monkeypatch.setitem(sys.modules, "typed_in", ModuleType("typed_in"))
    for name in ("packed", "typed_in", "nowhere_to_be_found", "their_package.not_there", "__main__"):
        assert hash_module_sources(name) is None, name
    (site / "their_helper.py").write_text("import packed\n")
    assert hash_module_sources("their_package.vit") is None, "a part of its code is not known"
    (site / "their_helper.py").write_text("try:\n    import not_installed\nexcept ImportError:\n    pass\n")
    assert hash_module_sources("their_package.vit") is not None
    monkeypatch.setattr(source_hash, "MAX_SOURCE_FILES", 3)
    assert hash_module_sources("their_package.vit") is None, "too many to look at before each run"


def test_the_rooms_are_known_by_the_version() -> None:
    assert set(ROOMS) <= OWN_ROOMS


# --- the digest of a model


def test_a_plugin_edited_between_two_processes_is_another_backbone(site: Path) -> None:
    first = describe()
    assert first.is_answerable and set(first.identity_dict()) == {"structure", "attributes", "source"}
    path, found = site / "their_package" / "vit.py", {"first": first}
    text = path.read_text()
    for what, old, new in (
        ("depth", "**sizes.SIZES", "'depth': 1"),
        ("width", "**table", "'embed_dim': 64"),
        ("heads", '"num_heads": 2', '"num_heads": 4'),
    ):
        forget_modules()
        path.write_text(text.replace(old, new))
        found[what] = describe()
    assert len({each.source for each in found.values()}) == len({each.attributes for each in found.values()}) == 4
    assert len({found[what].structure for what in ("first", "depth", "width")}) == 3
    assert found["heads"].structure == first.structure, "the number of heads stands in no shape"
    forget_modules()
    path.write_text(text)
    assert describe() == first


def test_a_plugin_edited_after_its_import_is_not_answered(site: Path) -> None:
    honest = describe()
    assert honest.is_answerable
    (site / "their_package" / "sizes.py").write_text("SIZES = {'depth': 1}\n")
    stale = describe()  # builds what is in memory: two blocks
    assert not stale.is_answerable and stale.structure == honest.structure
    assert stale.source is not None and stale.source.startswith("unknown "), "no id that another process would find"
    forget_modules()
    edited = describe()
    assert edited.is_answerable and len({honest.source, stale.source, edited.source}) == 3


def test_a_plugin_that_extends_pythons_path_counts_with_what_it_finds_there(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is imported nobody knows of that folder, so its digest is not taken from the cache either."""
    monkeypatch.setattr(model_digest, "_is_torch_imported", lambda: False)  # as in a command that answers from a record
    (site / "their_late_helper.py").unlink()
    start = f"import sys\nsys.path.append({str(tmp_path / 'hidden')!r})\nimport their_late_helper\n"
    write_files(site, {"their_package/vit.py": start + PLUGIN["their_package/vit.py"]})
    found = []
    for text in ("OFFSET = 1\n", "OFFSET = 1\n", "OFFSET = 2\n"):
        write_files(tmp_path / "hidden", {"their_late_helper.py": text})
        found.append(describe())
        forget_modules()
        sys.path.remove(str(tmp_path / "hidden"))
    assert all(each.is_answerable for each in found)
    assert found[0] == found[1] and found[1].source != found[2].source


def test_a_plugin_without_a_source_is_not_answered(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was typed in: the code in memory keeps two of them apart, and neither is answered."""
    found = []
    for factor in ("2", "3"):
        module = ModuleType("their_package")
        module.__name__ = "typed_in"
        monkeypatch.setitem(sys.modules, "typed_in", module)
        text = (
            "from timm.models import register_model\nfrom timm.models.vision_transformer import VisionTransformer\n"
            "class Net(VisionTransformer):\n    def forward_features(self, x, **kwargs):\n"
            f"        return {factor} * super().forward_features(x, **kwargs)\n"
            "@register_model\ndef their_vit(pretrained=False, pretrained_cfg=None, pretrained_cfg_overlay=None, "
            "cache_dir=None, **kwargs):\n"
            "    return Net(**{'patch_size': 16, 'embed_dim': 32, 'depth': 1, 'num_heads': 2, **kwargs})\n"
        )
        exec(text, vars(module))
        found.append(describe(BackboneCard("theirs", "their_vit", "", input_size=(3, 32, 32), module="typed_in")))
    assert not any(each.is_answerable for each in found)
    assert found[0].structure == found[1].structure and found[0].source != found[1].source
    assert not (site.parent / "cache").exists(), "nothing is kept of it"


def test_our_own_and_timms_count_by_their_structure(site: Path) -> None:
    for name in ("vit_pico", "swin_lite", "timm/test_vit"):
        found = describe(get_card(name), img_size=64)
        assert set(found.identity_dict()) == {"structure"} and found.is_answerable and not found.has_batch_norm
    assert describe(get_card("vit_pico")) != describe(get_card("vit_pico"), img_size=64), "positions are parameters"
    assert describe(get_card("timm/resnet10t")).has_batch_norm


def test_the_structure_is_the_same_for_all_weights_and_precisions() -> None:
    torch.manual_seed(0)
    models = [timm.create_model("vit_pico_patch8_32") for _ in range(3)]
    models[1].double()
    models[2].to("meta")
    assert len({hash_tensor_shapes(model) for model in models}) == 1
    assert len({hash_plain_attributes(model) for model in models}) == 1
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert hash_tensor_shapes(timm.create_model("vit_pico_patch8_32")) == hash_tensor_shapes(models[0])
    finally:
        torch.set_default_dtype(previous)
    models[0].register_buffer("offset", torch.zeros(1), persistent=False)
    assert hash_tensor_shapes(models[0]) != hash_tensor_shapes(models[1])
    with pytest.raises(UserError, match=r"of this LazyLinear has no shape before its first input"):
        hash_tensor_shapes(nn.LazyLinear(3))


def test_attributes_hold_nothing_of_the_machine() -> None:
    def hash_with(**values: Any) -> str:
        module = nn.Linear(2, 2)
        for key, value in values.items():
            setattr(module, key, value)
        return hash_plain_attributes(module)

    same: list[dict[str, Any]] = [
        {
            "scale": 8**-0.5,
            "file": "/home/a/weights.json",
            "act": object(),
            "table": torch.zeros(2),
            "fused_attn": True,
        },
        {"scale": 8**-0.5 * (1 + 1e-9), "file": "/b/weights.json", "act": object(), "table": torch.ones(2)},
    ]
    assert hash_with(**same[0]) == hash_with(**same[1])
    others: list[dict[str, Any]] = [
        {"scale": 0.3},
        {"act": nn.functional.relu},
        {"table": torch.zeros(3)},
        {"size": SimpleNamespace(a=1)},
    ]
    assert len({hash_with(**same[0] | other) for other in ({}, *others)}) == 5


def test_a_digest_is_read_from_the_cache_and_a_damaged_one_is_not(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = get_card("vit_pico")
    first = describe(card)
    (path,) = (site.parent / "cache" / "model_digests").iterdir()

    def fail() -> nn.Module:
        raise AssertionError("built although its digest is kept")

    assert model_digest.describe_model(card, ARGUMENTS, fail) == first
    for damaged in ("{", "[]", path.read_text().replace(first.structure[:8], "0" * 8)):
        path.write_text(damaged)
        assert describe(card) == first
    monkeypatch.setattr(model_digest, "KEY_PACKAGES", ("litevit-bench", "torch", "timm", "pytest"))
    with pytest.raises(AssertionError):  # another version of a library
        model_digest.describe_model(card, ARGUMENTS, fail)
    with pytest.raises(AssertionError):
        model_digest.describe_model(replace(card, arguments={"depth": 1}), ARGUMENTS, fail)
    shutil.rmtree(path.parent)
    path.parent.write_text("a file where the folder should be")
    assert describe(card) == first


def test_features_of_other_code_are_not_read_from_the_cache(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The features are cached under a key of their own; without the source in it, the old code's would be read."""
    from classification.digits_task import DIGITS
    from classification.probes import feature_extraction
    from classification.recipe import FrozenRecipe

    seen: list[dict[str, Any]] = []

    def keep(
        created: Any,
        recipe: Any,
        splits: Any,
        seed: int,
        scale: float,
        data: str,
        device: str,
        fields: dict[str, Any],
        *rest: Any,
        **others: Any,
    ) -> None:
        seen.append(fields)

    monkeypatch.setattr(feature_extraction, "FrozenBackbone", keep)
    plan, recipe = RunPlan(1, {}, {}, ARGUMENTS, 0, ()), FrozenRecipe(img_size=32)
    card = BackboneCard("theirs", "their_vit", "", input_size=(3, 32, 32), module="their_package.vit")
    for text in ("FACTOR = 1\n", "FACTOR = 1\n", "FACTOR = 2\n", "import typed_in_module\n"):
        forget_modules()
        (site / "their_other_helper.py").write_text(text)
        monkeypatch.setitem(sys.modules, "typed_in_module", ModuleType("typed_in_module"))
        (site / "their_helper.py").write_text("import their_other_helper\n")
        feature_extraction.make_frozen_backbone(make_request(card), plan, recipe, {}, "", DIGITS)
    assert seen[0] == seen[1] != seen[2]
    assert "nonce" in seen[3] and "nonce" not in seen[2], "of code that is not known nothing is read again"


@pytest.mark.parametrize("protocol", ["finetune", "knn"])
def test_a_cold_and_a_warm_cache_give_the_same_number(protocol: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    metrics = []
    resolve = RunRequest.prepare_backbone

    def describe_first(self: RunRequest, model_kwargs: Any) -> Any:
        """As the front desk does: it describes the model before the run creates it."""
        monkeypatch.setattr(RunRequest, "prepare_backbone", resolve)
        self.describe_model(model_kwargs)
        torch.rand(7)  # something between draws from the generator
        return self.prepare_backbone(model_kwargs)

    for out in ("cold", "warm"):
        monkeypatch.setattr(RunRequest, "prepare_backbone", describe_first)
        shutil.rmtree(tmp_path / "cache" / "features", ignore_errors=True)
        words = {"tier": "smoke", "device": "cpu", "overrides": ("batch_size=512",)}
        done = run_cell(CellRequest("digits", "vit_pico", protocol, out=tmp_path / out, **words))  # type: ignore[arg-type]
        assert done.record.result is not None and not done.from_record
        metrics.append((done.record.result.metrics, done.record.result.items))
        assert len(list((tmp_path / "cache" / "model_digests").iterdir())) == 1
    assert metrics[0] == metrics[1]


def test_preparing_leaves_the_generators_as_after_the_creation() -> None:
    request = make_request(get_card("vit_pico"))
    drawn = []
    for _ in range(2):
        request.prepare_backbone(ARGUMENTS)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[1]


# --- which code is whose


def test_what_an_entry_point_registers_is_a_plugins(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target: Any = SimpleNamespace(target_path="their_package.cards:CARD", origin="theirs 1.0", is_plugin=True)
    monkeypatch.setitem(BACKBONES._targets, "their_card", target)
    text = (
        "from backbones.card import BackboneCard\nCARD = BackboneCard('their_card', 'vit_tiny_patch16_224', '', "
        "arguments={'depth': 1}, input_size=(3, 32, 32))\n"
    )
    write_files(site, {"their_package/cards.py": text})
    try:
        card = get_card("their_card")
        assert card.module == "their_package.cards", "a card that is made from it imports the plug-in too"
        first = describe(card)
        assert first.is_answerable and first.source is not None
        (site / "their_package" / "cards.py").write_text(text.replace("1}", "2}"))
        assert not describe(get_card("their_card")).is_answerable, "the registry holds the card of the old file"
        assert not describe(replace(get_card("their_card"), module="their_package.sizes")).is_answerable
        other = replace(card, module="their_helper")
        assert list_plugin_modules(other) == ("their_helper", "their_package.cards")
        assert list_plugin_modules(replace(card, name="vit_pico")) == ("their_package.cards",)
        assert list_plugin_modules(get_card("vit_pico")) == list_plugin_modules(get_card("timm/test_vit")) == ()
    finally:
        BACKBONES._loaded.pop("their_card", None)
    with pytest.raises(UserError, match="the card calls itself 'their_card' but is registered as 'other_card'"):
        monkeypatch.setitem(BACKBONES._targets, "other_card", target)
        get_card("other_card")


def test_a_plugin_is_looked_at_before_it_is_imported(site: Path) -> None:
    """Else an edit between the import and the first question would pass for what runs."""
    registry = Registry("thing", "no.such.group", lambda name, value: value)
    registry.list_names()
    registry._targets["thing"] = SimpleNamespace(  # type: ignore[assignment]
        target_path="their_other_helper:FACTOR", origin="theirs 1.0", is_plugin=True
    )
    assert registry.get("thing") == 1
    (site / "their_other_helper.py").write_text("FACTOR = 2\n")
    found = hash_module_sources("their_other_helper")
    assert found is not None and not found.is_current


def test_a_package_that_takes_a_name_of_timms_is_noticed(site: Path) -> None:
    text = (
        "from timm.models import register_model, vision_transformer\n@register_model\n"
        "def test_vit(pretrained=False, **kwargs):\n    return vision_transformer.test_vit2(**kwargs)\n"
    )
    write_files(site, {"their_helper.py": text})
    with pytest.warns(UserWarning, match="Overwriting test_vit"):
        import_module("their_helper")
    assert get_card("timm/test_vit").module == "their_helper", "timm's name, their code"
    mine = BackboneCard("mine", "test_vit", "timm's, with other arguments", input_size=(3, 32, 32))
    with pytest.raises(UserError, match="the module their_helper has registered test_vit with timm, and its code"):
        make_request(mine).build_backbone(ARGUMENTS)
    with pytest.raises(UserError, match="does not count in the id of a run of theirs"):
        make_request(replace(mine, name="theirs", module="unrelated")).build_backbone(ARGUMENTS)
    assert make_request(replace(mine, module="their_helper")).build_backbone(ARGUMENTS)


def test_timms_own_name_is_timms_again() -> None:
    assert get_card("timm/test_vit").module == ""


# --- modules from memory


def describe_memory(module: nn.Module) -> ModelDigest:
    module.num_features, module.reset_classifier = 4, None  # type: ignore[assignment]
    card, start = make_memory_card(module, name="mine", mean=HALF, std=HALF, input_size=(3, 32, 32))
    return make_request(card, start).describe_model({})


NETWORK = """\
from torch import nn

import their_other_helper


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 8)

    def forward(self, x):
        return self.layer(x) * (their_other_helper.FACTOR + 1)
"""


def test_local_modules_that_the_code_of_a_module_names_count(site: Path) -> None:
    write_files(site, {"their_helper.py": NETWORK})

    def make() -> Any:
        return import_module("their_helper").Net()

    first = describe_memory(make())
    assert first.is_answerable and first.source is not None and describe_memory(make()) == first
    forget_modules()
    (site / "their_other_helper.py").write_text("FACTOR = 1  # what comes out is the same\n")
    other = describe_memory(make())
    assert other.is_answerable and other.source != first.source
    assert (other.structure, other.attributes) == (first.structure, first.attributes)


def test_a_script_counts_by_what_it_names(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ``__main__`` the file does not count, whose unrelated lines change; the modules that its code names do."""
    main: Any = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    exec(NETWORK, vars(main))
    first = describe_memory(main.Net())
    assert first.is_answerable and first.source is not None
    main.unrelated = 1
    assert describe_memory(main.Net()) == first
    forget_modules()
    (site / "their_other_helper.py").write_text("FACTOR = 1 \n")
    main.their_other_helper = import_module("their_other_helper")
    assert describe_memory(main.Net()).source != first.source


def test_a_module_of_timms_classes_has_no_source_and_one_that_was_typed_in_is_not_answered(site: Path) -> None:
    plain = describe_memory(nn.Sequential(nn.Conv2d(3, 4, 8)))
    assert plain.is_answerable and plain.source is None
    scopes: list[dict[str, Any]] = [{}, {"__name__": "typed_in"}]
    for names in scopes:
        exec(NETWORK, names)
        found = describe_memory(names["Net"]())
        assert not found.is_answerable and found.source is not None and found.source.startswith("unknown ")


def test_objects_of_libraries_lead_nowhere(site: Path) -> None:
    import logging

    module = nn.Linear(2, 2)
    module.logger = logging.getLogger()  # type: ignore[assignment]  # its handlers are pytest's here
    assert list_code_modules([module]) == set()


# --- tasks


def test_a_task_of_a_package_counts_by_its_source(site: Path) -> None:
    assert describe_task_source(TASKS.get("digits")) == (None, True)
    task = "from classification.digits_task import DigitsTask\nclass Mine(DigitsTask):\n    name = 'digits'\n"
    write_files(site, {"their_helper.py": task})
    first = describe_task_source(import_module("their_helper").Mine())
    assert first.is_answerable and first.sha256 is not None
    (site / "their_helper.py").write_text(task + "    summary = 'edited'\n")
    stale = describe_task_source(sys.modules["their_helper"].Mine())
    assert stale == ("unknown", False)
    forget_modules()
    edited = describe_task_source(import_module("their_helper").Mine())
    assert edited.is_answerable and edited.sha256 != first.sha256
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(task, names)
    assert describe_task_source(names["Mine"]()) == ("unknown", False), "not told from the rest of a script"


# --- whole processes


SCRIPT = """\
import json, sys
from pathlib import Path
from backbones.registry import get_card
from backbones.weights import locate_weights
from engine.task import RunPlan, RunRequest

for name in ("vit_pico", "their_card"):
    card = get_card(name)
    request = RunRequest(card, locate_weights(card, "random"), "knn", "smoke", 0, (), Path("data"), "cpu")
    found = request.describe_model({"img_size": 32, "num_classes": 0})
    sys.stdout.write(json.dumps({**found.identity_dict(), "answerable": found.is_answerable}) + "\\n")
sys.stdout.write(json.dumps("torch" in sys.modules))
"""


def test_a_digest_that_is_kept_needs_no_torch(site: Path, tmp_path: Path) -> None:
    """A plug-in of an entry point, whose card needs no torch, in processes of their own; the second reads a copy."""
    write_files(
        site,
        {
            "their_package/cards.py": "from backbones.card import BackboneCard\nCARD = BackboneCard('their_card', "
            "'their_vit', '', input_size=(3, 32, 32), module='their_package.vit')\n",
            "theirs-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n",
            "theirs-1.0.dist-info/entry_points.txt": "[bench.backbones]\ntheir_card = their_package.cards:CARD\n",
        },
    )
    (tmp_path / "script.py").write_text(SCRIPT)
    answers = []
    for folder in (site, shutil.copytree(site, tmp_path / "elsewhere")):
        own = {"PYTHONPATH": f"{ROOT}:{folder}", "BENCH_CACHE": str(tmp_path / "cache"), "PATH": "", "HOME": "/"}
        words = [sys.executable, str(tmp_path / "script.py")]
        done = subprocess.run(words, env=own, capture_output=True, text=True, check=True)
        answers.append([json.loads(line) for line in done.stdout.splitlines()])
    assert answers[0][:2] == answers[1][:2] and [each[2] for each in answers] == [True, False]
    assert all(each["answerable"] for each in answers[0][:2])
    assert [set(each) - {"answerable"} for each in answers[0][:2]] == [
        {"structure"},
        {"structure", "attributes", "source"},
    ]
