"""The SQLite log: one file that all processes of a host share."""
