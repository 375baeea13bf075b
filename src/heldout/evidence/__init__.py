"""Files, hashes and provenance: what every other room stands on."""

from heldout.evidence.files import (
    JsonLines,
    atomic_path,
    flush_folder,
    read_json_lines,
    sha256_bytes,
    sha256_file,
    write_bytes,
    write_json,
    write_text,
)
from heldout.evidence.strict import canonical, digest, dumps, finite_or_none, loads, read_json

__all__ = [
    "JsonLines",
    "atomic_path",
    "canonical",
    "digest",
    "dumps",
    "finite_or_none",
    "flush_folder",
    "loads",
    "read_json",
    "read_json_lines",
    "sha256_bytes",
    "sha256_file",
    "write_bytes",
    "write_json",
    "write_text",
]
