"""The numbers of a comparison: errors per split, statistics over draws, classical baselines."""
