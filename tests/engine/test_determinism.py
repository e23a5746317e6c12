"""Operations without a deterministic form are noted by name, and other warnings are shown as before."""

import warnings

import pytest

from engine import determinism
from engine.determinism import list_nondeterministic_operations, make_deterministic

TORCH_SAYS = (
    "Memory Efficient attention defaults to a non-deterministic algorithm. To explicitly enable determinism call "
    "torch.use_deterministic_algorithms(True, warn_only=False).",
    "roi_align_backward_kernel does not have a deterministic implementation, but you set "
    "'torch.use_deterministic_algorithms(True, warn_only=True)'. You can file an issue",
)


def test_torchs_warnings_become_names(monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder) -> None:
    monkeypatch.setattr(determinism, "_found", set())
    warnings.simplefilter("always")
    make_deterministic()
    show = warnings.showwarning
    make_deterministic()
    assert warnings.showwarning is show, "one notebook, however many runs a process makes"
    for message in (*TORCH_SAYS, "something else"):
        warnings.warn(message, UserWarning, stacklevel=1)
    assert list_nondeterministic_operations() == ["Memory Efficient attention", "roi_align_backward_kernel"]
    assert [str(each.message) for each in recwarn] == ["something else"]
