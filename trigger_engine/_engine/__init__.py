"""The pure engine: it folds entries and returns what to append. No I/O, no clock, no randomness, no await."""
