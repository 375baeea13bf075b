"""Versions, one champion a slot, and a history that can be recomputed."""

from heldout.registry.audit import Verified, repair, verify
from heldout.registry.chain import Event
from heldout.registry.document import export_registry, import_registry
from heldout.registry.intake import add, retire
from heldout.registry.lookup import Version
from heldout.registry.moves import READ, promote, rollback
from heldout.registry.store import Registry

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
