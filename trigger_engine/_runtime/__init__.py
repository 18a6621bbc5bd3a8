"""Runners: every runner executes tasks, and one of them at a time is the leader."""
