"""``heldout sign``: put a name under a verdict."""

from __future__ import annotations

from pathlib import Path

import typer

from heldout.errors import InputError


def sign(
    run: Path | None = typer.Argument(None, help="A run directory, or the verdict file in it."),
    key: Path | None = typer.Option(None, help="Your private Ed25519 key, a PEM file."),
    new_key: Path | None = typer.Option(None, "--new-key", help="Write a new key here, and FILE.pub beside it."),
) -> int:
    """Verify a run and sign its verdict and files (DSSE, in-toto), or make a key."""
    from heldout.verify import signing

    if new_key is not None and run is None and key is None:
        public = signing.new_key(new_key)
        print(f"private  {new_key}   keep it to yourself\npublic   {public}   give it to whoever verifies")
    elif run is not None and key is not None and new_key is None:
        print(f"signed   {signing.sign_run(run, key)}")
    else:
        raise InputError(
            "name a run and a key, or a new key alone",
            where="heldout sign",
            hint="heldout sign RUN --key FILE, or heldout sign --new-key FILE",
        )
    return 0
