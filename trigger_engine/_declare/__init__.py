"""Declarations of user code: tasks, signatures and triggers, with the checks that refuse invalid ones."""
