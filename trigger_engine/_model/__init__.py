"""The facts that a log holds, and their encoding. A log holds nothing else."""
