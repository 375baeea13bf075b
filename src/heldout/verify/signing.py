"""Making keys and signing runs; what is signed, and how it is verified, stands in ``signature``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from heldout.documents.names import SIGNATURE_FILE
from heldout.errors import InputError
from heldout.evidence import canonical, write_json
from heldout.verify.evidence import RunEvidence
from heldout.verify.signature import PAYLOAD_TYPE, read_envelope, read_key, require_library, statement
from heldout.verify.verify import verify_run


def new_key(path: Path) -> Path:
    """Write a new Ed25519 key: the private one to ``path`` (readable by its owner only), the public one beside it.

    Returns:
        The file of the public key, ``<path>.pub``.

    Raises:
        InputError: If one of the files exists already.
    """
    require_library()
    from cryptography.hazmat.primitives import serialization
    from securesystemslib.signer import CryptoSigner

    public = path.with_name(path.name + ".pub")
    for each in (path, public):
        if each.exists():
            raise InputError("the file exists already", where=str(each), hint="keys are never replaced: name another")
    signer = CryptoSigner.generate_ed25519()
    key = serialization.load_pem_private_key(signer.private_bytes, password=None).public_key()
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    _write_new(path, signer.private_bytes, 0o600)
    _write_new(public, key.public_bytes(*form), 0o644)
    return public


def sign_run(path: str | Path, key: Path) -> Path:
    """Verify a run and sign its verdict; a second signer's signature joins the first one's.

    Args:
        path: A run directory, or the verdict file in it.
        key: A private Ed25519 key, PEM.

    Returns:
        The file of the envelope.

    Raises:
        TamperedError: If a link of the run's own chain is broken: it is not signed.
        InputError: If the run has no verdict or the key cannot be read.
    """
    require_library()
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import CryptoSigner

    signer = CryptoSigner(_private_key(key))
    verify_run(path).raise_if_broken()
    evidence = RunEvidence.open(Path(path))
    payload = canonical(statement(evidence))
    target = evidence.folder / SIGNATURE_FILE
    envelope = Envelope(payload, PAYLOAD_TYPE, {})
    if target.exists():
        known = read_envelope(target)
        if known.payload == payload:
            envelope = known
    envelope.sign(signer)
    write_json(target, envelope.to_dict())
    return target


def _private_key(path: Path) -> Any:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = read_key(path, lambda data: serialization.load_pem_private_key(data, password=None))
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(
            "this is no private Ed25519 key", where=str(path), hint="make one: heldout sign --new-key FILE"
        )
    return key


def _write_new(path: Path, data: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
    except OSError as error:
        raise InputError(
            f"the key cannot be written: {error.strerror}", where=str(path), hint="choose another folder"
        ) from None
