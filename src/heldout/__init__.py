"""heldout: evidence that a new model deserves to replace the old one.

The public names load on first use, so that ``import heldout`` and ``heldout --help`` stay fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from heldout.lazy import lazily

if TYPE_CHECKING:
    from heldout.api import Study
    from heldout.run import Run

__version__ = "0.1.0"
__all__ = ["Run", "Study", "__version__"]

__getattr__ = lazily(__name__, {"api": ("Study",), "run": ("Run",)})
