"""Drawings: shapes computed from records, which templates write as SVG."""
