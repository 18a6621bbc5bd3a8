"""The objects that user code works with: tasks, invocations and events, on the connections to the log."""
