"""`scing search`: embed photos as queries, rank the index, and write the hits as tables and pictures."""
