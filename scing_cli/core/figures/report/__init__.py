"""The report of an evaluation: one self-contained HTML page, and charts in the colours of the page."""
