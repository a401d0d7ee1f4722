"""`scing search`: photos become queries, the index is ranked, hits become tables and pictures."""
