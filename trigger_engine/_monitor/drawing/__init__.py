"""Drawings: computes shapes from records; templates render them as SVG."""
