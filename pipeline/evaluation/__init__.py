"""What the numbers mean: errors per split, statistics over draws, classical baselines."""
