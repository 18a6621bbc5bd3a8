"""Every fact that the log may hold, and how it is encoded. Nothing else may stand in a log."""
