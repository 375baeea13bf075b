"""heldout: evidence that a new model deserves to replace the old one.

The public names load on first use, so that ``import heldout`` and ``heldout --help`` stay fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heldout.run import Run, Study

__version__ = "0.1.0"
__all__ = ["Run", "Study", "__version__"]

_LAZY = {"Study": "heldout.run", "Run": "heldout.run"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'heldout' has no attribute {name!r}")
