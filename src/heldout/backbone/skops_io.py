"""``skops.io``, imported without every estimator of scikit-learn, which takes longer than a small study.

skops lists the names of all estimators, to trust them. Here nothing is trusted by its name: each class that an archive
names is looked at (``skops_names``).
"""

from __future__ import annotations

import sklearn.utils

_all = sklearn.utils.all_estimators
sklearn.utils.all_estimators = list
try:
    from skops.io import dumps, get_untrusted_types, loads
finally:
    sklearn.utils.all_estimators = _all

__all__ = ["dumps", "get_untrusted_types", "loads"]
