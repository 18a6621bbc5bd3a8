"""The monitor: web pages that show every event, every trigger run, and their causes."""
