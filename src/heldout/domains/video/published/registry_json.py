"""The published ``registry.json`` of a folder of models: one row a model, in git, so that a flip is a reviewable diff.

A row's sha256 covers the whole model only if the ONNX file holds its own weights, so weights outside it are a finding.
Rows keep their order and keys: a flip changes the lines that it must and no others.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from heldout.errors import HeldoutError, InputError, RefusedError, TamperedError
from heldout.evidence import digest, read_json, read_plain, sha256_file, write_bytes, write_json, write_page

FLIP_SCHEMA = "heldout.flip/1"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
BEFORE, FLIP, HOLD = ".before.json", ".flip.json", ".hold.md"


class _Published(BaseModel):
    """An unknown key is an error, and nothing is converted: what validates here validates by the published schema."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Entry(_Published):
    """One model."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=64)
    kind: Literal["fr", "nr", "filter"]
    onnx: str = Field(pattern=r"^[a-z0-9][a-z0-9_./-]*\.onnx$", max_length=256)
    sha256: Sha256
    opset: int | None = Field(None, ge=7, le=21)
    notes: str | None = Field(None, max_length=512)
    description: str | None = Field(None, max_length=256)
    smoke: bool = False
    quant_mode: Literal["fp32", "static", "dynamic", "qat"] = "fp32"
    quant_calibration_set: str | None = Field(None, max_length=256)
    int8_sha256: Sha256 | None = None
    quant_accuracy_budget_plcc: float = Field(0.01, ge=0, le=1)
    license: str | None = Field(None, max_length=128)
    license_url: str | None = Field(None, max_length=512)
    sigstore_bundle: str | None = Field(None, pattern=r"^[a-z0-9][a-z0-9_./-]*\.sigstore\.json$", max_length=256)


class RegistryFile(_Published):
    """The document."""

    model_config = ConfigDict(populate_by_name=True)
    schema_: str | None = Field(None, alias="$schema")
    schema_version: Literal[0, 1]
    models: list[Entry]


class _Models(TypedDict):
    """The document with its keys in the order in which they stand."""

    schema_version: int
    models: list[dict[str, object]]


def validate_registry(path: Path) -> list[str]:
    """Everything that is wrong with a registry and its files, one sentence each.

    Args:
        path: ``registry.json``, beside the models.

    Raises:
        InputError: If the file cannot be read or is not JSON.
    """
    document = read_json(path)
    try:
        found = RegistryFile.model_validate(document)
    except ValidationError as error:
        return [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()]
    problems = [f"{path.name}: models[{name}] is null" for name in _nulls(document)]
    ids = [entry.id for entry in found.models]
    problems += [f"{name}: the id stands twice" for name in sorted({name for name in ids if ids.count(name) > 1})]
    for entry in found.models:
        problems += [f"{entry.id}: {what}" for what in _entry_problems(entry, path.parent)]
    return problems


def flip(path: Path, verdict_path: Path) -> list[str]:
    """Let the rows of the members that were individually cleared name the exported files, and drop their smoke flag.

    Args:
        path: ``registry.json``, beside the exported members; rows that are missing are added.
        verdict_path: ``PROMOTE.json`` of the run that the members were exported from.

    Returns:
        Ids of the rows that changed.

    Raises:
        RefusedError: Without a computed PROMOTE, or if no member of it is there.
        TamperedError: If a file is not the one that its sidecar names.
    """
    verdict = _promotion(verdict_path)
    before = read_plain(path) if path.exists() else None
    document: _Models = {"schema_version": 1, "models": []} if before is None else _read(path)
    rows = {row.get("id"): row for row in document["models"]}
    changed = []
    for sidecar in _members(path.parent, verdict, verdict_path):
        row = rows.get(sidecar["id"])
        wanted = {"onnx": sidecar["onnx"], "sha256": sidecar["sha256"], "opset": sidecar["opset"], "smoke": False}
        if row is None:
            row = {"id": sidecar["id"], "kind": sidecar["kind"]}
            document["models"].append(row)
        if any(row.get(key) != value for key, value in wanted.items()):
            row.update(wanted)
            changed.append(str(sidecar["id"]))
    if changed:
        if before is not None:
            write_bytes(path.with_suffix(BEFORE), before)
        replaced = _flipped(path)
        mine = {"verdict": _place(verdict_path, path), "sha256": sha256_file(verdict_path), "rows": changed}
        write_json(path.with_suffix(FLIP), {"schema": FLIP_SCHEMA, **mine, "replaced": replaced})
        write_bytes(path, _dumps(document))
    return changed


def flip_back(path: Path) -> Path:
    """Return to the registry before the last flip, if its files are still those that it names.

    Returns:
        Where the entry for a tracker was written, with the verdict that was taken back and the one in force again.

    Raises:
        InputError: If there was no flip.
        RefusedError: If the older registry no longer verifies; nothing changes.
    """
    older = path.with_suffix(BEFORE)
    if not older.exists():
        raise InputError("there is no flip to take back", where=str(path), hint="use git for older ones")
    problems = validate_registry(older)
    if problems:
        raise RefusedError(
            f"the older registry does not verify: {problems[0]}", where=str(older), hint="bring back its files first"
        )
    flipped = _flipped(path)
    replaced = flipped and flipped["replaced"]
    older.replace(path)
    if replaced:
        write_json(path.with_suffix(FLIP), {"schema": FLIP_SCHEMA, **replaced, "replaced": None})
    else:
        path.with_suffix(FLIP).unlink(missing_ok=True)
    head = f"# HOLD: {path.name} was flipped back on {dt.datetime.now(dt.UTC).isoformat(timespec='seconds')}"
    rows = _row("taken back", flipped) + _row("in force again", replaced)
    tracking = path.with_suffix(HOLD)
    write_page(tracking, f"{head}\n\n| | verdict | rows |\n|---|---|---|\n{rows}")
    return tracking


def _flipped(path: Path) -> dict[str, Any] | None:
    """Which verdict the last flip was by, and the one before it; None where none was recorded."""
    record = path.with_suffix(FLIP)
    found = _json_object(record) if record.exists() else {}
    if found.get("schema") != FLIP_SCHEMA:
        return None
    kept = {key: found[key] for key in ("verdict", "sha256", "rows")}
    before = found["replaced"]
    return kept | {"replaced": {key: before[key] for key in kept} if isinstance(before, dict) else None}


def _place(verdict: Path, path: Path) -> str:
    return Path(os.path.relpath(verdict, path.parent)).as_posix()


def _row(word: str, of: Mapping[str, Any] | None) -> str:
    if of is None:
        return f"| {word} | none on record | |\n"
    link = f"[{PurePosixPath(of['verdict']).name}]({str(of['verdict']).replace(' ', '%20')})"
    return f"| {word} | {link}, sha256 `{of['sha256']}` | {', '.join(of['rows'])} |\n"


def _read(path: Path) -> _Models:
    document: _Models = read_json(path)
    try:
        RegistryFile.model_validate(document)
    except ValidationError:
        raise InputError(
            "this is no registry of models", where=str(path), hint="`heldout registry validate` says what is wrong"
        ) from None
    return document


def _promotion(path: Path) -> Mapping[str, Any]:
    verdict: Mapping[str, Any] = read_json(path)
    for key, wanted in (("verdict", "PROMOTE"), ("evidence", "computed"), ("smoke", None)):
        if verdict.get(key) != wanted:
            raise RefusedError(
                f"no flip: {key} is {verdict.get(key)!r}", where=str(path), hint="only a computed PROMOTE flips a row"
            )
    return verdict


def _members(folder: Path, verdict: Mapping[str, Any], where: Path) -> list[dict[str, Any]]:
    """Sidecars of this verdict's members that cleared the gate themselves, by seed."""
    cleared = [seed for seed in verdict["seeds"] if _cleared(seed, verdict.get("gate") or {})]
    found = []
    for path in sorted(folder.glob("*.json")):
        sidecar = _json_object(path)
        if sidecar.get("verdict_sha256") != digest(dict(verdict)) or sidecar.get("seed") not in cleared:
            continue
        onnx = folder / str(sidecar["onnx"])
        if not onnx.is_file() or sha256_file(onnx) != sidecar["sha256"]:
            raise TamperedError("the model is not the one that its sidecar names", where=str(onnx), hint="export again")
        found.append(sidecar)
    if not found:
        raise RefusedError(
            "no exported member of this verdict is there",
            where=str(folder),
            hint=f"`heldout export` the run of {where}",
        )
    return sorted(found, key=lambda sidecar: int(sidecar["seed"]))


def _cleared(seed: int, gate: Mapping[str, Any]) -> bool:
    """Whether one member passed by itself: it is not listed as failing, and has a number above its own bound."""
    plcc, bound = gate.get("per_seed_plccs", {}).get(str(seed)), gate.get("per_seed_min")
    if seed in gate.get("failing_seeds", ()) or plcc is None:
        return False
    return bound is None or bool(plcc >= bound)


def _entry_problems(entry: Entry, folder: Path) -> list[str]:
    path = folder / entry.onnx
    if ".." in Path(entry.onnx).parts or not path.is_file():
        return [f"{entry.onnx} is not there"]
    problems = []
    if sha256_file(path) != entry.sha256:
        problems.append(f"{entry.onnx} is not the file of this sha256")
    problems += _weights_outside(path)
    if not entry.smoke:
        problems += _sidecar_problems(entry, path.with_suffix(".json"))
    if entry.quant_mode != "fp32" and entry.int8_sha256 is None:
        problems.append(f"quant_mode {entry.quant_mode} needs int8_sha256")
    return problems


def _sidecar_problems(entry: Entry, path: Path) -> list[str]:
    if not path.is_file():
        return [f"its sidecar {path.name} is not there"]
    sidecar = _json_object(path)
    return [
        f"its sidecar says {key} {sidecar.get(key)!r}"
        for key, value in (("id", entry.id), ("sha256", entry.sha256))
        if sidecar.get(key) != value
    ]


def _weights_outside(path: Path) -> list[str]:
    import onnx

    try:
        model = onnx.load_from_string(read_plain(path))
    except Exception as error:  # noqa: BLE001 - a protobuf parser raises its own, by version
        return [f"{path.name} is no ONNX file: {type(error).__name__}"]
    constants = [attribute.t for node in model.graph.node for attribute in node.attribute]
    outside = [tensor for tensor in (*model.graph.initializer, *constants) if tensor.external_data]
    return [f"{len(outside)} weights lie outside {path.name}, so its sha256 does not cover them"] if outside else []


def _json_object(path: Path) -> dict[str, object]:
    try:
        found = read_json(path)
    except HeldoutError:
        return {}
    return found if isinstance(found, dict) else {}


def _nulls(document: Mapping[str, Any]) -> list[str]:
    """The published schema has no nulls: a key is there or it is not."""
    return [f"{i}.{key}" for i, row in enumerate(document["models"]) for key, value in row.items() if value is None]


def _dumps(document: Mapping[str, Any]) -> bytes:
    """In the order in which it stands: sorting would bury the change in a diff."""
    return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
