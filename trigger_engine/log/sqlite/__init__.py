"""The SQLite log: one file that the processes of one host share."""
