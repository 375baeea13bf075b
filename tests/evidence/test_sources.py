"""The code that a prediction can depend on: a predictor of several files is digested whole."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from heldout.errors import InputError
from heldout.evidence.sources import _is_installed, _source, _spec, program_digest, program_sources

PART = "heldout.domains.embodied"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Path]:
    """A predictor of five files: a package, a module beside it, a late import, and one that it does not use."""
    files = {
        "answerer/__init__.py": "",
        "answerer/predict.py": "from answerer.model import Model\nimport numpy\n\n\nclass Predictor:\n    pass\n",
        "answerer/model.py": "from . import words\n\n\ndef Model():\n    import beside_answerer\n",
        "answerer/words.py": "from .model import Model\nWORDS = 1\n",
        "answerer/other.py": "UNUSED = 1\n",
        "beside_answerer.py": "import json, torch_that_nobody_has\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("answerer", "beside_answerer")]:
        del sys.modules[name]
    for cached in (_source, _spec, _is_installed):
        cached.cache_clear()


def digest() -> str:
    return program_digest(("answerer.predict",), PART)


def test_every_file_that_a_predictor_imports_is_in_its_digest(program: Path) -> None:
    """Predictions of two models would be mixed in one file, because only the first file of the code was looked at."""
    found = program_sources(("answerer.predict",), PART)
    names = ["answerer", "answerer.model", "answerer.predict", "answerer.words", "beside_answerer"]
    assert names == list(found)
    assert "answerer.model" not in sys.modules, "code was run to learn where it is"
    before = digest()
    (program / "answerer/other.py").write_text("UNUSED = 2\n")
    assert before == digest()
    for name in ("answerer/words.py", "answerer/__init__.py", "beside_answerer.py"):
        (program / name).write_text((program / name).read_text() + "# changed\n")
        assert before != digest(), name
        before = digest()


def test_what_belongs_to_others_is_not_followed() -> None:
    """A new version of a library's documentation would make every half-finished evaluation worthless."""
    found = program_sources((f"{PART}.evaluate.predictors",), PART)
    assert {f"{PART}.index.source", f"{PART}.episodes.store", f"{PART}.score.train_labels"} <= set(found)
    assert all(f"{name}.".startswith(f"{PART}.") for name in found)


def test_what_is_no_module_is_refused(program: Path) -> None:
    """A typing error would give an identity of nothing."""
    with pytest.raises(InputError, match="has no source"):
        program_digest(("answerer.gone",), PART)
    (program / "answerer/words.py").write_text("def (")
    with pytest.raises(InputError, match="the source cannot be read"):
        digest()
