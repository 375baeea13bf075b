"""Signatures: a DSSE envelope around an in-toto statement over the run's files, with the verdict as its predicate.

Ed25519 keys in PEM files, as ``openssl genpkey -algorithm ed25519`` writes them. The envelope can be verified by any
tool that knows DSSE; cryptography is left to `securesystemslib` and `cryptography` (``pip install 'heldout[sign]'``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from heldout.documents.names import MANIFEST_FILE, SIGNATURE_FILE
from heldout.errors import InputError, PrerequisiteError
from heldout.evidence import loads, read_json, read_plain, sha256_file
from heldout.verify.chain import BrokenError, NotCheckedError
from heldout.verify.evidence import RunEvidence

if TYPE_CHECKING:
    from securesystemslib.dsse import Envelope

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://heldout.readthedocs.io/verdict/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"


class PublicKey(NamedTuple):
    """A public key and the name of its file, for messages."""

    name: str
    key: Any


def statement(evidence: RunEvidence) -> dict[str, object]:
    """The in-toto statement: every file of the run by sha256, the manifest too, and the verdict as predicate."""
    digests = {name: entry["sha256"] for name, entry in evidence.manifest["files"].items()}
    digests[MANIFEST_FILE] = sha256_file(evidence.folder / MANIFEST_FILE)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in sorted(digests.items())],
        "predicateType": PREDICATE_TYPE,
        "predicate": dict(evidence.verdict),
    }


def check_signature(evidence: RunEvidence, key: PublicKey | None) -> str:
    """The holder of the key signed these files and this verdict."""
    path = evidence.folder / SIGNATURE_FILE
    if key is None:
        raise NotCheckedError("there is a signature: --key PUBLIC" if path.exists() else "the verdict is not signed")
    if not path.exists():
        raise BrokenError("the verdict is not signed", SIGNATURE_FILE)
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    envelope, public = read_envelope(path), SSlibKey.from_crypto(key.key)
    if envelope.payload_type != PAYLOAD_TYPE:
        raise BrokenError(f"the payload is {envelope.payload_type!r}, not {PAYLOAD_TYPE!r}", SIGNATURE_FILE)
    try:
        envelope.verify([public], 1)
    except VerificationError:
        raise BrokenError(f"the holder of {key.name} did not sign this", SIGNATURE_FILE) from None
    signed: Mapping[str, Any] = loads(envelope.payload, where=SIGNATURE_FILE)
    expected = statement(evidence)
    for part in ("_type", "predicateType", "predicate", "subject"):
        if signed[part] != expected[part]:
            raise BrokenError(f"the signature is over another {part}", SIGNATURE_FILE)
    return f"signed by the holder of {key.name}: {len(signed['subject'])} files and the verdict"


def require_library() -> None:
    """Refuse early where the library of the extra is not installed.

    Raises:
        PrerequisiteError: With the command that installs it.
    """
    try:
        import cryptography  # noqa: F401
        import securesystemslib.dsse  # noqa: F401
    except ImportError as error:
        raise PrerequisiteError(
            f"signatures need a library that is not installed: {error.name}",
            where="heldout sign",
            hint="pip install 'heldout[sign]'",
        ) from None


def read_envelope(path: Path) -> Envelope:
    """Read an envelope.

    Raises:
        InputError: If it is none.
    """
    from securesystemslib.dsse import Envelope

    try:
        return Envelope.from_dict(read_json(path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"this is no DSSE envelope: {error}", where=str(path), hint="sign the run again") from None


def read_public_key(path: Path) -> PublicKey:
    """Read the signer's public key.

    Raises:
        InputError: If it is none, or not Ed25519.
        PrerequisiteError: If the library is not installed.
    """
    require_library()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = read_key(path, serialization.load_pem_public_key)
    if not isinstance(key, Ed25519PublicKey):
        raise InputError("this is no public Ed25519 key", where=str(path), hint="name the .pub file of the signer")
    return PublicKey(path.name, key)


def read_key(path: Path, read: Any) -> Any:
    """Read a PEM key with one of the library's readers.

    Raises:
        InputError: If there is none that it can read.
    """
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return read(read_plain(path))
    except OSError as error:
        raise InputError(f"the key cannot be read: {error.strerror}", where=str(path), hint="check --key") from None
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"this is no such key: {str(error).splitlines()[0]}",
            where=str(path),
            hint="sign with the unencrypted private PEM file, verify with the public one",
        ) from None
