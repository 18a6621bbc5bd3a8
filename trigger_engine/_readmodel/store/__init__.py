"""Stores the rows in a local SQLite file, or in memory."""
