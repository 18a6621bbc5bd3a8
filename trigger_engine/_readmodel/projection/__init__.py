"""Projects the log into rows."""
