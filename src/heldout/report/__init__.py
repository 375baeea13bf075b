"""What people read: ``RUN_REPORT.md`` and a self-contained ``report.html``, from the documents of a run alone."""

from heldout.report.write import write_reports

__all__ = ["write_reports"]
