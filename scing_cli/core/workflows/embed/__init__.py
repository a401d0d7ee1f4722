"""`scing embed`: embed a gallery into an index, save partial results, and drop rows whose files are missing."""
