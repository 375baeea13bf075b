"""Versions, one champion a slot, and a history that can be recomputed."""

from typing import TYPE_CHECKING

from heldout.lazy import lazily

if TYPE_CHECKING:
    from heldout.registry.audit import Verified, repair, verify
    from heldout.registry.chain import Event
    from heldout.registry.document import export_registry, import_registry
    from heldout.registry.intake import add, retire
    from heldout.registry.moves import READ, promote, rollback
    from heldout.registry.store import Registry
    from heldout.registry.version import Version

__all__ = [
    "READ",
    "Event",
    "Registry",
    "Verified",
    "Version",
    "add",
    "export_registry",
    "import_registry",
    "promote",
    "repair",
    "retire",
    "rollback",
    "verify",
]

_HOLDS = {
    "audit": ("Verified", "repair", "verify"),
    "chain": ("Event",),
    "document": ("export_registry", "import_registry"),
    "intake": ("add", "retire"),
    "moves": ("READ", "promote", "rollback"),
    "store": ("Registry",),
    "version": ("Version",),
}
__getattr__ = lazily(__name__, _HOLDS)
