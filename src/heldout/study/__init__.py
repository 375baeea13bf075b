"""The declarative study: its typed model, and loading it with overlays."""

from heldout.study.choice import with_choice
from heldout.study.load import StudyFile, get_dotted, load_study, placing, set_dotted, validate
from heldout.study.spec import (
    BASE,
    COSTS,
    DEFAULT_SPLITTER,
    FOREIGN_SPLITTER,
    NOTHING,
    BaselineSpec,
    BootstrapSpec,
    BudgetSpec,
    GateSpec,
    MetricSpec,
    RuleSpec,
    Spec,
    SplitSpec,
    StudySpec,
    VariantSpec,
)
from heldout.study.yaml import Document, load_yaml

__all__ = [
    "BASE",
    "COSTS",
    "DEFAULT_SPLITTER",
    "FOREIGN_SPLITTER",
    "NOTHING",
    "BaselineSpec",
    "BootstrapSpec",
    "BudgetSpec",
    "Document",
    "GateSpec",
    "MetricSpec",
    "RuleSpec",
    "Spec",
    "SplitSpec",
    "StudyFile",
    "StudySpec",
    "VariantSpec",
    "get_dotted",
    "load_study",
    "load_yaml",
    "placing",
    "set_dotted",
    "validate",
    "with_choice",
]
