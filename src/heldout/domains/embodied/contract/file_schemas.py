"""A JSON Schema for every file that a contract requires, and whether a real file keeps it.

A contract's ``file_schemas`` maps the name of a required file to a schema (draft 2020-12), its own or by ``$ref`` one
of those that come with heldout: ``{"$ref": "heldout:predictions.csv"}``. A required file that is not named there has
the schema of its name, if heldout has one. What a schema speaks of depends on the file's kind:

- ``.json``         the document;
- ``.jsonl``        each line; a file without lines keeps no schema;
- ``.csv``          ``{"columns": [...], "rows": [{column: text}]}``;
- ``.md``, ``.txt`` the text;
- ``.safetensors``  the head of the file: by tensor its dtype, shape and place.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jsonschema_rs
import orjson

from heldout.errors import HeldoutError, InputError
from heldout.evidence import loads

FOLDER = Path(__file__).parent / "schemas"
SUFFIX = ".schema.json"
KEY = "file_schemas"
KINDS = (".json", ".jsonl", ".csv", ".md", ".txt", ".safetensors")
_LISTS = ("required_eval_files", "required_training_files")
_MOST = 20
_LONGEST = 200
_HEAD_BYTES = 100_000_000


class Breach(NamedTuple):
    """Where a file does not keep its schema.

    Attributes:
        file: Its name.
        line: Line of the file, where it has lines.
        pointer: JSON pointer into the document or the line.
        what: What is wrong there.
    """

    file: str
    line: int | None
    pointer: str
    what: str

    def __str__(self) -> str:
        place = self.file + (f":{self.line}" if self.line is not None else "")
        return f"{place} {self.pointer or '/'}: {self.what}"


def required_files(config: Mapping[str, Any]) -> list[str]:
    """Names of all files that a contract requires, of an evaluation and of a training."""
    artifacts = config["artifact_contract"]
    return list(dict.fromkeys(name for key in _LISTS for name in artifacts[key]))


def schema_of(config: Mapping[str, Any], name: str) -> Any:
    """The schema of a required file; None if there is none."""
    own = config.get(KEY, {})
    if name in own:
        return own[name]
    return reference(name) if f"heldout:{name}" in _known() else None


def reference(name: str) -> dict[str, object]:
    """A schema that comes with heldout, by reference."""
    return {"$ref": f"heldout:{name}"}


def schema_issues(config: Mapping[str, Any]) -> list[str]:
    """Required files without a schema, schemas that are none, and schemas of files that nobody requires."""
    wanted = required_files(config)
    issues = []
    for name in wanted:
        schema = schema_of(config, name)
        if schema is None:
            issues.append(f"{KEY} lacks {name}, which the contract requires")
        elif Path(name).suffix not in KINDS:
            issues.append(f"{name} cannot keep a schema: of its kind nothing is read here")
    for name, schema in config.get(KEY, {}).items():
        if name not in wanted:
            near = difflib.get_close_matches(name, wanted, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            issues.append(f"{KEY}.{name}: the contract requires no such file{hint}")
        problem = _schema_problem(schema)
        if problem:
            issues.append(f"{KEY}.{name} is no JSON Schema: {problem}")
    return issues


def breaches(config: Mapping[str, Any], name: str, data: bytes) -> list[Breach]:
    """Where the bytes of a required file do not keep its schema; the first few, in their order.

    Args:
        config: The contract.
        name: Of the required file, as the contract writes it.
        data: All of the file.
    """
    schema = schema_of(config, name)
    if schema is None:
        return []
    try:
        validator = _validator(json.dumps(schema, sort_keys=True))
        found = _READERS[Path(name).suffix](name, data, validator) if Path(name).suffix in _READERS else iter(())
        return [breach for breach, _ in zip(found, range(_MOST), strict=False)]
    except HeldoutError as error:
        return [Breach(name, None, "", error.what)]


def breaches_of_file(config: Mapping[str, Any], name: str, path: Path) -> list[Breach]:
    """The same for a file on disk; of weights only the head is read."""
    try:
        with path.open("rb") as stream:
            data = _head(stream) if Path(name).suffix == ".safetensors" else stream.read()
    except OSError as error:
        return [Breach(name, None, "", f"cannot be read: {error.strerror}")]
    return breaches(config, name, data)


def _head(stream: BinaryIO) -> bytes:
    first = stream.read(8)
    return first + stream.read(min(_length(first), _HEAD_BYTES))


def _length(data: bytes) -> int:
    """How long the head of a safetensors file is; 0 where it does not say."""
    return int.from_bytes(data[:8], "little") if len(data) >= 8 else 0


@lru_cache(maxsize=1)
def _known() -> Mapping[str, Any]:
    """The schemas that come with heldout, by their ``$id``."""
    documents = [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob(f"*{SUFFIX}"))]
    return {document["$id"]: document for document in documents}


@lru_cache(maxsize=256)
def _validator(schema: str) -> jsonschema_rs.Validator:
    """A compiled schema.

    Raises:
        InputError: If it is none, or refers to one that is not there.
    """
    document = json.loads(schema)
    try:
        registry = jsonschema_rs.Registry(list(_known().items()), retriever=_refuse)
        validator: jsonschema_rs.Validator = jsonschema_rs.Draft202012Validator(
            document, registry=registry, retriever=_refuse
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, TypeError) as error:
        raise InputError(_line(str(error)), where=KEY, hint="see json-schema.org, draft 2020-12") from None
    return validator


def _refuse(uri: str) -> Any:
    """A contract does not make this program read files or ask the network."""
    raise ValueError(f"{uri} does not come with heldout")


def _schema_problem(schema: Any) -> str | None:
    try:
        _validator(json.dumps(schema, sort_keys=True))
    except InputError as error:
        return error.what
    return None


def _document(name: str, data: bytes, validator: jsonschema_rs.Validator) -> Iterator[Breach]:
    yield from _errors(validator, loads(data, where=name), name)


def _lines(name: str, data: bytes, validator: jsonschema_rs.Validator) -> Iterator[Breach]:
    number = 0
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            yield Breach(name, number, "", f"no JSON: {error}")
            continue
        if not validator.is_valid(value):
            yield from _errors(validator, value, name, number)
    if not number:
        yield Breach(name, None, "", "the file has no lines")


def _table(name: str, data: bytes, validator: jsonschema_rs.Validator) -> Iterator[Breach]:
    try:
        reader = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
        columns = next(reader, [])
        rows, lines = [], []
        for row in reader:
            if len(row) != len(columns):
                yield Breach(name, reader.line_num, "", f"{len(row)} cells in a table of {len(columns)} columns")
            rows.append(dict(zip(columns, row, strict=False)))
            lines.append(reader.line_num)
    except (UnicodeDecodeError, csv.Error) as error:
        yield Breach(name, None, "", f"no table: {error}")
        return
    for broken in validator.iter_errors({"columns": columns, "rows": rows}):
        path = list(broken.instance_path)
        in_row = len(path) > 1 and path[0] == "rows"
        yield Breach(name, lines[int(path[1])] if in_row else 1, _pointer(path[2:] if in_row else path), _said(broken))


def _text(name: str, data: bytes, validator: jsonschema_rs.Validator) -> Iterator[Breach]:
    try:
        yield from _errors(validator, data.decode("utf-8"), name)
    except UnicodeDecodeError:
        yield Breach(name, None, "", "no UTF-8")


def _weights(name: str, data: bytes, validator: jsonschema_rs.Validator) -> Iterator[Breach]:
    """The head: its length in eight bytes, then JSON; what a writer noted about the file is no tensor."""
    length = _length(data)
    head = data[8 : 8 + length]
    if not length or len(head) < length:
        yield Breach(name, None, "", "no safetensors")
        return
    document = loads(head, where=name)
    if isinstance(document, dict):
        document.pop("__metadata__", None)
    yield from _errors(validator, document, name)


_READERS = {
    ".json": _document,
    ".jsonl": _lines,
    ".csv": _table,
    ".md": _text,
    ".txt": _text,
    ".safetensors": _weights,
}


def _errors(validator: jsonschema_rs.Validator, value: Any, name: str, line: int | None = None) -> Iterator[Breach]:
    for error in validator.iter_errors(value):
        yield Breach(name, line, _pointer(list(error.instance_path)), _said(error))


def _said(error: jsonschema_rs.ValidationError) -> str:
    return _line(error.message)


def _line(text: str) -> str:
    first = text.strip().splitlines()[0]
    return first if len(first) <= _LONGEST else f"{first[:60]}...{first[60 - _LONGEST :]}"


def _pointer(path: Sequence[str | int]) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
