"""Group commit, and the two logs that need no server: memory and SQLite."""
