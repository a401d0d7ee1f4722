"""Terminal in, terminal out: options -> one call into core/workflows -> table, picture, JSON."""
