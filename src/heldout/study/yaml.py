"""YAML as people expect it, with the place of every key.

PyYAML reads YAML 1.1, where ``5e-4`` is text, ``no`` is false and ``12:30`` is a number. The loader here follows the
YAML 1.2 core schema instead, refuses duplicate keys, anchors and tags, and remembers line and column of every node.
What a file may cost is bounded by its bytes, its nodes and its depth: PyYAML's time grows with the square of the depth.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from heldout.errors import InputError, StudyError
from heldout.evidence import read_plain

KeyPath = tuple[str | int, ...]
_LONGEST_INTEGER = 300  # digits; no float64 holds more
STUDY_BYTES, LOCK_BYTES = 1 << 20, 8 << 20
DEPTH, NODES = 64, 100_000
_BYTES_A_NODE = 10  # a lock with more bytes may have more nodes
_CORE_SCHEMA = (
    ("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    ("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    ("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), list("-+0123456789")),
    (
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$"),
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's loader within bounds: what a stranger chose is counted before it is recursed into."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own protocol

    def __init__(self, text: str, path: Path) -> None:
        self._path = path
        self._left = self._most = max(NODES, len(text) // _BYTES_A_NODE)
        super().__init__(text)

    def fetch_flow_collection_start(self, token: Any) -> None:
        """Count a bracket or a brace before PyYAML does."""
        self._refuse_deep()
        super().fetch_flow_collection_start(token)

    def add_indent(self, column: int) -> bool:
        """Count a level of indentation before PyYAML does."""
        self._refuse_deep()
        return bool(super().add_indent(column))

    def compose_node(self, parent: Any, index: Any) -> yaml.Node | None:
        """One node, if it is plain: an alias would make a few bytes stand for any number of nodes."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark = event.start_mark
        place = f"{self._path}:{mark.line + 1}:{mark.column + 1}"
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            what, hint = (
                "anchors and aliases are not allowed",
                "write the value out; a study has `variants:` with `set:`",
            )
            raise StudyError(what, where=place, hint=hint)
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise StudyError(f"the tag {tag} is not allowed", where=place, hint="remove the tag")
        self._left -= 1
        if self._left < 0:
            raise StudyError(f"the file has more than {self._most} nodes", where=place, hint="write a smaller one")
        node: yaml.Node | None = super().compose_node(parent, index)
        return node

    def _refuse_deep(self) -> None:
        if self.flow_level + len(self.indents) >= DEPTH:
            raise yaml.MarkedYAMLError(problem=f"nested more than {DEPTH} levels deep", problem_mark=self.get_mark())


for _tag, _pattern, _first in _CORE_SCHEMA:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)


@dataclass(frozen=True)
class Document:
    """A parsed YAML file: its value and where each key path stands.

    Attributes:
        path: The file.
        value: What it says.
        marks: Line and column of each key path.
        overridden: Key paths whose value comes from ``--set`` and stands in no file.
    """

    path: Path
    value: Any
    marks: dict[KeyPath, tuple[int, int]] = field(default_factory=dict)
    overridden: frozenset[KeyPath] = frozenset()

    def where(self, keys: KeyPath) -> str:
        """``file:line:column`` of the deepest part of ``keys`` that stands in the file, or the ``--set`` it is from."""
        for depth in range(len(keys), -1, -1):
            if keys[:depth] in self.overridden:
                return f"--set {'.'.join(map(str, keys[:depth]))}"
            if keys[:depth] in self.marks:
                line, column = self.marks[keys[:depth]]
                return f"{self.path}:{line}:{column}"
        return str(self.path)


def load_yaml(path: Path) -> Document:
    """Read one YAML document.

    Raises:
        StudyError: If the file is missing, not YAML, or breaks a rule above; with file, line and column.
    """
    try:
        data = read_plain(path, most=STUDY_BYTES)
    except OSError as error:
        raise StudyError(f"cannot read the study: {error.strerror}", where=str(path), hint="check the path") from None
    except InputError as error:
        raise StudyError(error.what, where=error.where, hint=error.hint) from None
    return parse_yaml(data, path)


def parse_yaml(data: bytes, path: Path) -> Document:
    """The YAML document in some bytes; its bytes are bounded by whoever read them.

    Args:
        data: UTF-8.
        path: Where they are from, for messages.

    Raises:
        StudyError: If they are not YAML, or break a rule above; with line and column.
    """
    try:
        text = data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError:
        raise StudyError("the file is not UTF-8 text", where=str(path), hint="save it as UTF-8") from None
    try:
        node = _compose(text, path)
        marks: dict[KeyPath, tuple[int, int]] = {}
        value = _value(node, (), marks, path) if node is not None else None
    except yaml.YAMLError as error:
        hint = "indent with spaces: YAML takes no tabs" if "'\\t'" in _problem(error) else "mend the YAML there"
        raise StudyError(_problem(error), where=_place(path, error), hint=hint) from None
    return Document(path, value, marks)


def parse_scalar(text: str) -> Any:
    """The value of a scalar or flow expression, as in ``--set fit.epochs=5`` or ``--set seeds=[0,1]``."""
    marks: dict[KeyPath, tuple[int, int]] = {}
    source = Path("--set")
    try:
        node = _compose(text, source)
        return None if node is None else _value(node, (), marks, source)
    except yaml.YAMLError as error:
        raise StudyError(f"cannot read the value {text!r}: {_problem(error)}", where="--set", hint="quote it") from None


def _compose(text: str, path: Path) -> yaml.Node | None:
    loader = _Loader(text, path)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


def _value(node: yaml.Node, keys: KeyPath, marks: dict[KeyPath, tuple[int, int]], path: Path) -> Any:
    marks.setdefault(keys, (node.start_mark.line + 1, node.start_mark.column + 1))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, keys, marks, path)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*keys, index), marks, path) for index, item in enumerate(node.value)]
    return _scalar(node, path)


def _mapping(
    node: yaml.MappingNode, keys: KeyPath, marks: dict[KeyPath, tuple[int, int]], path: Path
) -> dict[str, object]:
    found: dict[str, object] = {}
    for key_node, value_node in node.value:
        place = f"{path}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise StudyError("a key must be plain text", where=place, hint="use a name as the key")
        key = str(key_node.value)
        if key in found:
            raise StudyError(f"key {key!r} appears twice", where=place, hint="keep one of the two")
        marks[(*keys, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
        found[key] = _value(value_node, (*keys, key), marks, path)
    return found


def _scalar(node: yaml.Node, path: Path) -> Any:
    text = str(node.value)
    match node.tag.rpartition(":")[2]:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int" if len(text) <= _LONGEST_INTEGER:
            return int(text)
        case "float" if math.isfinite(float(text)):
            return float(text)
        case "str":
            return text
    place = f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"
    raise StudyError(f"the number {text[:40]} is too large", where=place, hint="write a smaller one, or quote it")


def _problem(error: yaml.YAMLError) -> str:
    return "not YAML: " + str(getattr(error, "problem", None) or error)


def _place(path: Path, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
