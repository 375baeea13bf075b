"""One small data set and one tiny base for all tests of the Qwen backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
from qwen_kit import make_data

torch = pytest.importorskip("torch")
for name in ("transformers", "peft", "accelerate", "llguidance"):
    pytest.importorskip(name)


def pytest_itemcollected(item: pytest.Item) -> None:
    """The library of language models alone takes ten seconds to load: CI runs these."""
    item.add_marker("slow")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with ``store``, ``manifest``, ``index``, ``data`` and ``tiny``; not to be changed."""
    torch.set_num_threads(1)
    return make_data(tmp_path_factory.mktemp("qwen"))
