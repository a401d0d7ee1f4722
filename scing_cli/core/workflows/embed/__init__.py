"""`scing embed`: a gallery becomes an index, with partial results on the way; rows whose files are gone are dropped."""
