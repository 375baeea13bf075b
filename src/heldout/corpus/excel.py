"""The one sheet of an Excel workbook as a table."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import polars as pl

from heldout.corpus.room import room_to_unpack
from heldout.errors import CorpusError, MachineError, PrerequisiteError
from heldout.evidence import read_plain


def read_workbook(path: Path) -> pl.DataFrame:
    """The table in a workbook of one sheet; a cell that holds an error is empty.

    Raises:
        CorpusError: If it is no workbook, or has several sheets.
        MachineError: If it is larger, unpacked, than there is room for.
        PrerequisiteError: If fastexcel is not installed.
    """
    try:
        import fastexcel
    except ImportError:
        hint = "pip install 'heldout[excel]', or save the sheet as CSV"
        raise PrerequisiteError("fastexcel is not installed", where="fastexcel", hint=hint) from None
    data = read_plain(path)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size, room = sum(each.file_size for each in archive.infolist()), room_to_unpack()
        if size > room:
            what = f"out of memory: unpacked, the workbook has more than {room // 1_000_000:,} MB"
            raise MachineError(what, where=str(path), hint="give the process more memory, or cut the table")
        book = fastexcel.read_excel(data)
        sheets = book.sheet_names
        if len(sheets) > 1:
            what = f"the workbook has {len(sheets)} sheets: {', '.join(sheets)}"
            hint = "save the sheet of the table as a workbook of its own, or as CSV"
            raise CorpusError(what, where=str(path), hint=hint)
        first = book.load_sheet(0, header_row=None, n_rows=1, dtypes="string").to_polars()
        header = first.row(0) if first.height else ()
        twice = next((name for name in header if name is not None and header.count(name) > 1), None)
        if twice is not None:  # polars would rename the second, which would make it a feature of its own
            where = f"{path}: row 0, column {header.index(twice) + 1}"
            raise CorpusError(f"two columns are named {twice!r}", where=where, hint="rename or remove one of them")
        sheet = str(sheets[0])
        found: pl.DataFrame = pl.read_excel(
            io.BytesIO(data), sheet_name=sheet, engine="calamine", infer_schema_length=None
        )
        return found
    except (zipfile.BadZipFile, fastexcel.FastExcelError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise CorpusError(f"this is no workbook: {said}", where=str(path), hint="save it as .xlsx, or as CSV") from None
