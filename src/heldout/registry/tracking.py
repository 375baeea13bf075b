"""The entry for a tracker after a champion was rolled back: which verdict no longer serves, and which does again."""

from __future__ import annotations

import os
from pathlib import Path

from heldout.documents.names import HOLD_FILE, PROMOTE_FILE
from heldout.evidence import write_page
from heldout.printable import printable
from heldout.registry import lookup
from heldout.registry.chain import Event
from heldout.registry.rundir import judged_later
from heldout.registry.store import Registry
from heldout.registry.version import Version


def track_hold(registry: Registry, event: Event) -> Path:
    """Where the entry for a rollback was written, with both verdicts linked."""
    body = event.body
    with registry.database.reading() as connection:
        left, back = (lookup.read_version(connection, body[key]) for key in ("previous", "version"))
        later = judged_later(left.content, lookup.verdicts_of(connection, str(left.content["run"])))
    path = hold_file(registry.serving.pointer(body["slot"]), event)
    rows = [f"| {word} | `{each.id}` | {_verdict(registry, each, path.parent)} |"
            for word, each in (("was rolled back", left), ("serves again", back))]  # fmt: skip
    by, reason = (printable(body.get(key) or word) for key, word in (("by", "somebody"), ("reason", "none was given")))
    told = [
        f"# HOLD: {left.id} no longer serves {body['slot']}",
        f"Rolled back on {body['at_utc']} by {by}. Reason: {reason}.",
        "\n".join(["| | version | verdict |", "|---|---|---|", *rows]),
        *(f"Of {left.id}: {sentence}." for sentence in later),
        f"Event {event.seq} of the registry, sha256 `{event.sha256}`.",
    ]
    write_page(path, "\n\n".join(told) + "\n")
    return path


def hold_file(pointer: Path, event: Event) -> Path:
    """Where the entry for a rollback lies, beside the pointer that it moved."""
    return pointer.with_name(f"hold-{event.seq}.md")


def _verdict(registry: Registry, version: Version, beside: Path) -> str:
    """A version's verdict in words, with a link to its file and the digest that it was registered with."""
    verdict, files = version.content["verdict"], version.content["files"]
    name = PROMOTE_FILE if verdict["verdict"] == "PROMOTE" else HOLD_FILE
    file = registry.serving.folder_at(version.place) / name
    link = Path(os.path.relpath(file, beside)).as_posix()
    return f"[{name}]({link.replace(' ', '%20')}) of {verdict['generated_at_utc']}, sha256 `{files[name]['sha256']}`"
