"""The report of a network that was trained on somebody's own data: one page that needs no network, and its figures."""

from hybrid_model.report.write import samples_to_run, write_report

__all__ = ["samples_to_run", "write_report"]
