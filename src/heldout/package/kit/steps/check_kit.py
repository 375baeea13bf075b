"""Are these the files that the kit was built with? Needs nothing but Python: it runs before anything is installed."""

import hashlib
import json
import pathlib
import platform
import sys
from collections.abc import Iterator

KIT = pathlib.Path(__file__).resolve().parent
# Made by the steps themselves.
BESIDE = {".venv", "out", "__pycache__"}


def problems() -> Iterator[str]:
    """One sentence for each file that is not what it was."""
    named = json.loads((KIT / "kit.json").read_text(encoding="utf-8"))["files"]
    for name, entry in sorted(named.items()):
        path = KIT / name
        if path.is_symlink() or not path.is_file():
            yield f"{name} is missing"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            yield f"{name} was changed"
    for folder in ("code", "dist", "requirements", "wheelhouse"):
        for path in sorted(KIT.glob(f"{folder}/**/*")):
            if not path.is_dir() and path.relative_to(KIT).as_posix() not in named:
                yield f"{folder}/{path.name} is no file of the kit"


def target() -> str:
    """The kind of machine, as the requirements are named."""
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    return f"{platform.system().lower()}-{machine}-cp{sys.version_info[0]}{sys.version_info[1]}"


def main() -> None:
    """Check the files, or answer what the steps ask."""
    if "--target" in sys.argv:
        print(target())
    elif "--digest" in sys.argv:
        print(hashlib.sha256((KIT / "kit.json").read_bytes()).hexdigest())
    else:
        found = list(problems())
        for sentence in found:
            print(f"[prereqs] error: {sentence}: unpack the kit again", file=sys.stderr)
        sys.exit(3 if found else 0)


if __name__ == "__main__":
    main()
