"""Queries of the rows, one file for each subject."""
