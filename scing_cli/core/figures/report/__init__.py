"""The report of an evaluation: charts that take the page's colours, and one self-contained HTML page."""
