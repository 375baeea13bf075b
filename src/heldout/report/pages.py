"""Templates of the reports, and how text gets into them unharmed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from heldout.report.content import cell, number, signed

if TYPE_CHECKING:
    from jinja2 import Environment


def environment() -> Environment:
    """The templates; HTML escapes what it shows, and a name that is missing is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    found = Environment(
        loader=PackageLoader("heldout.report"),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters |= {"number": number, "signed": signed, "cell": cell}
    return found


def page_head(title: str) -> str:
    """The head of a page that loads nothing, fits a telephone, and looks like every report.

    Args:
        title: Already escaped.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>{title}</title>'
        f"<style>{template_text('report.css')}</style>"
    )


def template_text(name: str) -> str:
    """A file beside the templates, as it is."""
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")
