"""The model to beat, verified: a run directory whose evidence holds, or the one that a slot's pointer names.

``champion: registry/slots/<slot>/champion.json`` follows the registry: when a promotion or a rollback moves the slot,
the study's champion moves with it, and the verdict names the event. ``champion: runs/<study>/<run>`` is set by hand.
"""

from __future__ import annotations

import os
from pathlib import Path

from heldout.documents.names import POINTER_FILE
from heldout.errors import InputError, StaleError
from heldout.run.champion import Champion
from heldout.verify.champion import verified_champion

POINTER = POINTER_FILE


def open_champion(path: Path) -> Champion:
    """The champion that a study names.

    Raises:
        InputError: If there is no judged run.
        TamperedError: Naming the first link of its evidence, or of the registry's history, that does not hold.
        StaleError: If the pointer lags behind the registry.
    """
    if path.name == POINTER and path.is_file():
        return _served(path)
    return verified_champion(path)


def _served(path: Path) -> Champion:
    """The run that serves in a slot, as the registry's whole history says."""
    from heldout.registry import Registry, verify
    from heldout.registry.rundir import check_registered

    slot, root = path.parent.name, path.resolve().parents[2]
    place = os.environ.get("HELDOUT_REGISTRY", "")
    with Registry(place if "://" in place else root, serving=root) as registry:
        if slot in verify(registry, files="none").lagging:
            raise StaleError(
                "the pointer names an older champion than the registry", where=str(path),
                hint="heldout registry verify --repair",
            )  # fmt: skip
        version = registry.champion(slot)
        if version is None or registry.serving.pointer(slot) != path.resolve():
            raise InputError("this is no slot of the registry", where=str(path), hint="heldout registry list")
        lineage = [event for event in registry.history(slot=slot) if event.body.get("slot") == slot]
        folder = registry.serving.folder_at(version.place)
    check_registered(version.content, folder)
    event = {"seq": lineage[-1].seq, "sha256": lineage[-1].sha256}
    served = {"slot": slot, "event": event, "lineage": [each.sha256 for each in lineage]}
    return verified_champion(folder, served)
