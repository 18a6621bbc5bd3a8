"""The log in memory: the smallest backend, and the reference for the others."""
