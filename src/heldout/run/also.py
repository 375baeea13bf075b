"""The predictions of a judged run in further forms, for whoever does not read Parquet."""

from __future__ import annotations

from pathlib import Path

from heldout.documents.names import PREDICTIONS_CSV, PREDICTIONS_FILE
from heldout.errors import InputError
from heldout.evidence import write_bytes
from heldout.run.layout import TABLES_FOLDER
from heldout.task.table import csv_bytes, lines_bytes, read_table, table_in

_FORMS = {"jsonl": (PREDICTIONS_FILE, lines_bytes), "csv": (PREDICTIONS_CSV, csv_bytes)}


def forms_of(text: str) -> tuple[str, ...]:
    """The forms that ``jsonl,csv`` names.

    Raises:
        InputError: If it names another.
    """
    forms = tuple(dict.fromkeys(each.strip() for each in text.split(",")))
    strange = next((each for each in forms if each not in _FORMS), None)
    if strange is not None:
        raise InputError(f"there is no form {strange!r}", where="--also", hint=f"choose of {', '.join(_FORMS)}")
    return forms


def write_also(folder: Path, forms: tuple[str, ...]) -> list[Path]:
    """Where the predictions lie in these forms: in the run if it holds them, else written beside what was judged.

    The verdict is over the table of the run alone, so that a finished run can be given them too.
    """
    paths: list[Path] = []
    if not table_in(folder).exists():  # nothing was fitted
        return paths
    for form in forms:
        name, form_bytes = _FORMS[form]
        path = folder / name
        if not path.exists():
            path = folder / TABLES_FOLDER / name
            write_bytes(path, form_bytes(read_table(table_in(folder))))
        paths.append(path)
    return paths
