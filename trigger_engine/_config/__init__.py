"""Configuration: the settings, the sources that they are read from, and their checks."""
