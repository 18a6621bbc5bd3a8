"""The audit: an independent check of the whole log."""
