"""`scing evaluate`: vectors, ranking, published figures next to ours, and the report."""
