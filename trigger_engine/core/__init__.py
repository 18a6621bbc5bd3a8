"""The pure core: it folds entries and says what to append. No I/O, no clock, no randomness, no await."""
