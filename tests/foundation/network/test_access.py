from __future__ import annotations

import ast
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backbones.registry import get_card
from backbones.weights import locate_weights
from classification.image_tasks import IMAGE_TASKS
from foundation.errors import CheckpointError, DataError, NetworkError, UserError
from foundation.network import access
from tests.conftest import ROOT, Bench
from tests.engine.make import make_recipe
from tests.house_metrics import ROOMS
from tests.limits import HANG_SECONDS


@pytest.fixture
def _no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    monkeypatch.setattr("backbones.weight_sources.hub.find_hub_file", lambda repo_id: None)


@pytest.fixture
def blocked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No socket may be opened; what tried is listed."""
    tried: list[str] = []

    def refuse(name: str) -> Callable[..., Any]:
        def call(*words: object, **_: object) -> Any:
            tried.append(f"{name} {words[:2]}")
            raise OSError("Network is unreachable")

        return call

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse(name))
    monkeypatch.setattr(socket.socket, "connect", refuse("connect"))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return tried


def test_offline_tries_nothing(blocked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    with pytest.raises(NetworkError, match="switched off"), access.open_network("https://huggingface.co"):
        pass
    assert blocked == []


@pytest.mark.usefixtures("_no_hub_cache")
@pytest.mark.parametrize("is_offline", [True, False])
def test_missing_weights_and_data_are_named_with_sockets_blocked(
    blocked: list[str], is_offline: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_OFFLINE", str(int(is_offline)))
    reason = "the network is switched off" if is_offline else "cannot be reached (Network is unreachable)"
    with pytest.raises(CheckpointError) as caught:
        locate_weights(get_card("timm/vit_tiny_patch16_224.augreg_in21k"), None)
    for part in (
        "timm/vit_tiny_patch16_224.augreg_in21k",
        reason,
        str(tmp_path / "hub"),
        "bench get --pack",
        "--checkpoint FILE",
    ):
        assert part in str(caught.value)
    with pytest.raises(DataError) as refused:
        IMAGE_TASKS["cifar10"].download_data(tmp_path / "data")
    for part in ("cifar10", reason, str(tmp_path / "data"), "cifar-10-python.tar.gz", "--tasks cifar10 --with-data"):
        assert part in str(refused.value)
    assert bool(blocked) != is_offline


def test_a_name_server_that_never_answers_costs_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(access, "PROBE_SECONDS", 0.05)

    def hang(*_: object, **__: object) -> None:
        released.wait(HANG_SECONDS)
        raise OSError("too late")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    monkeypatch.setattr(access, "getproxies", dict)
    message = r"huggingface.co:443 cannot be reached \(no answer within 0.05 s\)"
    with pytest.raises(NetworkError, match=message), access.open_network("https://huggingface.co/api"):
        pass
    assert not released.is_set(), "it did not wait for the answer"
    released.set()


def test_the_proxy_is_asked_where_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []
    monkeypatch.setattr(access, "_probe_server", asked.append)
    monkeypatch.setenv("HTTPS_PROXY", "http://user:word@proxy.example:3128")
    monkeypatch.setenv("https_proxy", "http://user:word@proxy.example:3128")
    monkeypatch.setenv("no_proxy", "mirror.example")
    for url in ("https://huggingface.co", "https://mirror.example:8443/x", "http://plain.example/"):
        with access.open_network(url):
            assert socket.getdefaulttimeout() == access.STALL_SECONDS
    assert asked == [("proxy.example", 3128), ("mirror.example", 8443), ("plain.example", 80)]
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize(("text", "expected"), [("1", True), ("on", True), ("", False), ("0", False), ("No", False)])
def test_the_switch(text: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_OFFLINE", text)
    assert access.OFFLINE_VAR.read_switch() is expected
    monkeypatch.setenv("BENCH_OFFLINE", "maybe")
    with pytest.raises(UserError, match="BENCH_OFFLINE is 'maybe'; set it to 1 or 0"):
        access.OFFLINE_VAR.read_switch()


NAME = "timm/vit_tiny_patch16_224.augreg_in21k"


@pytest.mark.parametrize(
    "words",
    [
        ("run", "digits", "--backbone", NAME, "--out", "runs"),
        ("pretrain", "mae_distill", "--backbone", "vit_nano", "--teacher", NAME, "--data", "digits", "--out", "runs"),
        ("analyze", "spectrum", NAME, "--out", "runs"),
        ("get", "weights", NAME),
        ("get", "data", "cifar10", "--data-root", "data"),
    ],
    ids=lambda words: words[0],
)
def test_the_option_is_one_sentence_and_exit_2(words: tuple[str, ...], bench: Bench, tmp_path: Path) -> None:
    done = bench(*words, "--offline", cwd=tmp_path, HF_HUB_CACHE=str(tmp_path / "hub"), HF_HOME=str(tmp_path))
    assert done.returncode == 2, done.stderr
    assert "the network is switched off (--offline or $BENCH_OFFLINE)" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("record.json"))


CLIENTS = {"urllib.request", "http.client", "requests", "httpx", "huggingface_hub", "torch.hub", "ftplib", "aiohttp"}


def test_every_download_goes_through_the_gate() -> None:
    """A module that imports a client of the network opens the gate, or only asks for what is here."""
    found = set()
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        source = path.read_text()
        names = set()
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        uses = bool(names & CLIENTS) or "download=True" in source or "load_state_dict_from_url" in source
        if uses and "open_network(" not in source:
            found.add(path.relative_to(ROOT).as_posix())
    # these two ask the hub's package where its cache is, and nothing else
    assert found <= {"benchmarks/transfer/requirements.py", "benchmarks/doctor.py"}


@pytest.mark.parametrize(("before", "after"), [(None, "offline"), ("online", "offline"), ("disabled", "disabled")])
def test_weights_and_biases_stays_off_the_network(
    before: str | None, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BENCH_OFFLINE", "HF_HUB_OFFLINE", "WANDB_MODE"):
        monkeypatch.setenv(name, before or "")
    if before is None:
        monkeypatch.delenv("WANDB_MODE")
    access.switch_network_off()
    assert os.environ["WANDB_MODE"] == after


@pytest.mark.parametrize(
    ("uri", "is_refused"), [("https://me:secret@mlflow.example/x", True), ("sqlite:///runs.db", False), ("", False)]
)
def test_a_remote_store_of_mlflow_is_refused_before_the_training(
    uri: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr("engine.recipe.find_spec", lambda name: object())
    if not is_refused:
        assert make_recipe(loggers=["mlflow"]).loggers == ["mlflow"]
        return
    with pytest.raises(
        ValueError, match=r"would write to https://mlflow.example .*the network is switched off"
    ) as caught:
        make_recipe(loggers=["mlflow"])
    assert "secret@mlflow.example ($" not in str(caught.value)
