"""The event log: the backend contract, its group commit, and the two logs that need no server."""
