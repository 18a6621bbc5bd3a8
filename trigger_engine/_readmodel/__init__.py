"""The read model (history): the log projected into rows for the monitor and the command line."""
