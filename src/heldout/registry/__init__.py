"""Versions, one champion a slot, and a history that can be recomputed."""

from typing import TYPE_CHECKING

from heldout.lazy import lazily

if TYPE_CHECKING:
    from heldout.registry.admission import Admission, admission_of, set_admission
    from heldout.registry.audit import Verified, repair, verify
    from heldout.registry.chain import Event
    from heldout.registry.document import export_registry, import_registry
    from heldout.registry.intake import add, retire
    from heldout.registry.moves import READ, promote, rollback
    from heldout.registry.store import Registry
    from heldout.registry.version import Version
    from heldout.registry.vouched import Asked, Vouched

__all__ = [
    "READ",
    "Admission",
    "Asked",
    "Event",
    "Registry",
    "Verified",
    "Version",
    "Vouched",
    "add",
    "admission_of",
    "export_registry",
    "import_registry",
    "promote",
    "repair",
    "retire",
    "rollback",
    "set_admission",
    "verify",
]

_HOLDS = {
    "admission": ("Admission", "admission_of", "set_admission"),
    "audit": ("Verified", "repair", "verify"),
    "chain": ("Event",),
    "document": ("export_registry", "import_registry"),
    "intake": ("add", "retire"),
    "moves": ("READ", "promote", "rollback"),
    "store": ("Registry",),
    "version": ("Version",),
    "vouched": ("Asked", "Vouched"),
}
__getattr__ = lazily(__name__, _HOLDS)
