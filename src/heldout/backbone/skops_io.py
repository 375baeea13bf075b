"""``skops.io``, imported without PyTorch: that takes seconds, and no archive of ours needs it.

skops asks scikit-learn for all its estimators; scikit-learn looks for them in every package that it ships, and one of
those imports PyTorch wherever it is installed.
"""

from __future__ import annotations

import sys

_HEAVY = "sklearn.externals.array_api_compat.torch"
_hidden = _HEAVY not in sys.modules
if _hidden:
    sys.modules[_HEAVY] = None  # type: ignore[assignment]  # importing it fails, which is passed over
try:
    from skops.io import dumps, get_untrusted_types, loads
finally:
    if _hidden:
        sys.modules.pop(_HEAVY, None)

__all__ = ["dumps", "get_untrusted_types", "loads"]
