"""The report of an evaluation as a folder: `report.html`, `report.json`, `queries.csv`."""

from scing_cli.core.workflows.evaluate.report.findings import Subject
from scing_cli.core.workflows.evaluate.report.write import check_folder, write_report

__all__ = ["Subject", "check_folder", "write_report"]
