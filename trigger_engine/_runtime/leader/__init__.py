"""The leader: one runner at a time reads the log, evaluates it, and appends the resulting entries."""
