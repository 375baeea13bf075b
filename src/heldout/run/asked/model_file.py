"""``model.json``: which model from elsewhere a run asks, what its checkpoint gate found, and where it lay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from heldout.backbone.asked import AskedBackbone
from heldout.backbone.content import Content, content_of
from heldout.corpus.guards import Finding
from heldout.documents.names import CORPUS_FILE, MODEL_FILE
from heldout.errors import HeldoutError, PrerequisiteError
from heldout.evidence import read_json, write_json
from heldout.evidence.provenance import portable
from heldout.gate.asked import AskedModel
from heldout.run.asked.held_out import read_trained_on

SCHEMA = "heldout.model/1"
_LEVELS = 4  # run, study, runs, and the folder of the study file


def write_model(
    folder: Path, models: Mapping[str, AskedBackbone], study: Path, findings: Sequence[Finding] | None
) -> None:
    """Write the document; nothing where no model is from elsewhere.

    Args:
        folder: The run directory.
        models: By contender (empty: the variant itself), each bound to its model.
        study: Folder of the study, to which paths are relative where that is possible.
        findings: Of the checkpoint gate of the variant's own model; None if there is none.
    """
    if not models:
        (folder / MODEL_FILE).unlink(missing_ok=True)
        return
    document = {
        "schema": SCHEMA,
        "models": {name: _entry(asked, study.resolve()) for name, asked in models.items()},
        "gate": None if findings is None else [each.to_json() for each in findings],
    }
    write_json(folder / MODEL_FILE, document)


def _entry(asked: AskedBackbone, study: Path) -> dict[str, object]:
    place, found = asked.found(), asked.content()
    path = place.relative_to(study).as_posix() if place.is_relative_to(study) else portable(place)
    facts = {"bytes": found.bytes, "files": found.files, "path": path}
    return {"backbone": asked.name, "sha256": found.sha256} | facts


def model_bytes(folder: Path, contender: str = "") -> int:
    """Bytes of a model from elsewhere, as the run found it."""
    return int(read_json(folder / MODEL_FILE)["models"][contender]["bytes"])


def read_model(folder: Path, lock: Mapping[str, Any], judged: frozenset[str]) -> AskedModel | None:
    """What the judge must know of the model that a run asks; None where its models are fitted.

    Raises:
        HeldoutError: If a document is missing, or is not the one that the lock names.
    """
    block = lock.get("models", {}).get("")
    if block is None:
        return None
    document, said = read_json(folder / MODEL_FILE, links=False), block["held_out"]
    gate = document["gate"]
    return AskedModel(
        findings=None if gate is None else tuple(str(each["what"]) for each in gate),
        says=said.get("says") if said else None,
        trained_on=read_trained_on(folder, said),
        corpus=read_json(folder / CORPUS_FILE),
        judged=judged,
        given=block.get("evidence") == "predicted",
    )


def find_model(folder: Path, sha256: str, read: Callable[[Path], Content] = content_of) -> Path:
    """Where the model of a run lies now: where its record says, known by nothing but its digest.

    Args:
        folder: The run.
        sha256: Of the model.
        read: What identifies what lies somewhere.

    Raises:
        PrerequisiteError: If no model of that digest lies there.
    """
    known = read_json(folder / MODEL_FILE)["models"].values()
    stated = next((str(each["path"]) for each in known if each["sha256"] == sha256), "its place is not recorded")
    for place in _candidates(folder, PurePosixPath(stated)):
        try:
            if place.exists() and read(place).sha256 == sha256:
                return place
        except (HeldoutError, OSError):
            continue
    raise PrerequisiteError(
        f"the model {sha256[:12]} is not at hand: {stated}",
        where=str(folder / MODEL_FILE),
        hint="put the file or folder that was judged where it lay",
    )


def _candidates(folder: Path, stated: PurePosixPath) -> Iterator[Path]:
    if stated.is_absolute():
        yield Path(stated)
    elif stated.parts[:1] == ("~",):
        yield Path.home().joinpath(*stated.parts[1:])
    else:
        above = folder.resolve().parents[:_LEVELS]
        yield from (place / stated for place in (Path.cwd(), *above))
        # A path outside of the working folder is recorded by its name alone.
        yield from (place / stated.name for place in above)
