"""What all benchmarks share: measuring, stores and apps to measure on, results, tables and plots."""
