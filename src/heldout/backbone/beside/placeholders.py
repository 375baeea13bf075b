"""What a command says: its words, the places in them that stand for files and numbers, and the program that it runs."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heldout.backbone.beside.carried import Carried
from heldout.errors import StudyError, near_miss

_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PYTHON = ("python", "python3")
KNOWN = {
    "train": ("train", "model", "seed", "state", "validation", "weights", "groups", "params"),
    "predict": ("model", "features", "predictions", "params"),
}
_NEEDED = {"train": ("train", "model"), "predict": ("model", "features", "predictions")}
_SCRIPTS = (".py", ".sh", ".R", ".r", ".jl", ".js", ".ts", ".pl", ".rb", ".lua", ".m")
_MARKS = ("lib", "pyvenv.cfg", "conda-meta")  # of an installation that brings its own libraries


def split(text: str) -> list[str]:
    """The words of a command, as a shell would part them; no shell runs it.

    Raises:
        ValueError: If a quote is left open.
    """
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"the command cannot be split into words: {error}") from None


def places(text: str) -> frozenset[str]:
    """Names in braces."""
    return frozenset(_PLACE.findall(text))


def filled(text: str, values: Mapping[str, str], code: Carried) -> list[str]:
    """The words with what the places stand for; ``python`` is the Python that runs this.

    Args:
        text: The command.
        values: What each place stands for.
        code: With which it runs; a program among it is started as one.
    """
    words = [_PLACE.sub(lambda found: values[found[1]], word) for word in split(text)]
    if words[0] in _PYTHON:
        words[0] = sys.executable
    elif words[0].removeprefix("./") in code.executable:
        words[0] = f"./{words[0].removeprefix('./')}"
    return words


def plain(value: Any) -> str:
    """A parameter as a word: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def check_places(commands: Mapping[str, str], params: Mapping[str, Any]) -> None:
    """Every place in a command is known, what must be there is, and every parameter reaches a command.

    Raises:
        StudyError: If not; the place is a key of the block.
    """
    taken = sorted({name for known in KNOWN.values() for name in known} & {*params})
    if taken:
        what = f"a parameter is called {taken[0]!r}, which a command is given anyway"
        raise StudyError(what, where=f"fit.params.{taken[0]}", hint="choose another name")
    for key, text in commands.items():
        named, known = places(text), {*KNOWN[key], *params}
        for name in sorted(named - known):
            what = f"the command names {{{name}}}, which stands for nothing"
            raise StudyError(what, where=f"fit.{key}", hint=near_miss(name, known, "what it may name"))
        for name in _NEEDED[key]:
            if name not in named:
                hint = f"write where {{{name}}} goes, such as --{name} {{{name}}}"
                raise StudyError(f"the command does not name {{{name}}}", where=f"fit.{key}", hint=hint)
    used = frozenset[str]().union(*(places(text) for text in commands.values()))
    idle = sorted({*params} - used) if "params" not in used else []
    if idle:
        what = f"the parameter {idle[0]!r} reaches no command, so it changes nothing"
        hint = f"name it in one, such as --{idle[0]} {{{idle[0]}}}, or pass all as a JSON file: {{params}}"
        raise StudyError(what, where=f"fit.params.{idle[0]}", hint=hint)


def check_program(text: str, code: Carried, where: str) -> None:
    """The program of a command is there, and may be executed.

    Raises:
        StudyError: If not.
    """
    word = split(text)[0]
    name = word.removeprefix("./")
    if name in code.files and name not in code.executable:
        hint = f"chmod +x {name}, or name what runs it, such as sh {name}"
        raise StudyError(f"{name} beside the study may not be executed", where=where, hint=hint)
    if word not in _PYTHON and name not in code.executable and _found(word) is None:
        hint = "install it, write its whole path, or name a file beside the study"
        raise StudyError(f"there is no program {word!r}", where=where, hint=hint)


def scripts(text: str, folder: Path, where: str) -> Iterator[str]:
    """Files beside the study that a command names, and the one of a module that Python is to run (``-m``).

    Raises:
        StudyError: If what must be a script is none that is there.
    """
    words = split(text)
    for number, word in enumerate(words):
        path = Path(word)
        if word and "\0" not in word and not path.is_absolute() and (folder / path).is_file():
            yield path.as_posix()
        elif number and words[number - 1] == "-m" and runs_python(text):
            base = folder.joinpath(*word.split("."))
            files = (base.with_name(f"{base.name}.py"), base / "__main__.py")
            yield from (each.relative_to(folder).as_posix() for each in files if each.is_file())
    first = next((word for word in words[1:] if not word.startswith("-")), "")
    if Path(first).suffix in _SCRIPTS and not places(first) and not (folder / first).is_file():
        known = sorted(each.name for each in folder.iterdir() if each.suffix == Path(first).suffix)
        hint = near_miss(first, known, "beside the study lie")
        raise StudyError(f"there is no {first!r} beside the study", where=where, hint=hint)


def runs_python(text: str) -> bool:
    """Whether a command is run by the Python that runs this."""
    return split(text)[0] in _PYTHON


def installations(text: str) -> Iterator[Path]:
    """The program of a command, with the installation that it lies in where it looks like one."""
    word = split(text)[0]
    found = None if word in _PYTHON else _found(word)
    if found is None:
        return
    yield found
    real = found.resolve()
    yield real
    top = real.parent.parent
    marked = real.parent.name == "bin" and any((top / name).exists() for name in _MARKS)
    if marked and not Path.home().resolve().is_relative_to(top):
        yield top


def _found(word: str) -> Path | None:
    found = shutil.which(word) if "/" not in word or Path(word).is_absolute() else None
    return Path(found) if found else None
