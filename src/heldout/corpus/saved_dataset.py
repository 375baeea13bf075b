"""A data set that Hugging Face's ``datasets`` saved (``save_to_disk``): a folder of Arrow files, named in its state."""

from __future__ import annotations

from pathlib import Path

from heldout.errors import CorpusError
from heldout.evidence import read_json

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"


def files_of_dataset(folder: Path) -> list[Path] | None:
    """The files of a saved data set, in its order; None where the folder is none.

    Raises:
        CorpusError: If it holds several splits, or its state names what is no file in it.
    """
    if (folder / _SPLITS).is_file():
        inner = sorted(each.name for each in folder.iterdir() if each.is_dir())
        hint = f"name one, such as {folder / inner[0]}" if inner else "save the data set again"
        raise CorpusError(f"the folder holds several data sets: {', '.join(inner)}", where=str(folder), hint=hint)
    if not ((folder / _STATE).is_file() and (folder / _INFO).is_file()):
        return None
    state = read_json(folder / _STATE)
    listed = state.get("_data_files") if isinstance(state, dict) else None
    names = [each.get("filename") if isinstance(each, dict) else None for each in listed or []]
    wrong = next((each for each in names if not isinstance(each, str) or Path(each).name != each), None)
    if not names or wrong is not None or not all((folder / str(each)).is_file() for each in names):
        hint = "save the data set again (save_to_disk)"
        raise CorpusError("the state of the data set names no file beside it", where=str(folder / _STATE), hint=hint)
    return [folder / str(each) for each in names]
