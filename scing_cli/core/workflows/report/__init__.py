"""The report of an evaluation as a folder: `report.html`, `report.json`, `queries.csv` and pictures."""

from scing_cli.core.workflows.report.write import check_folder, write_report

__all__ = ["check_folder", "write_report"]
