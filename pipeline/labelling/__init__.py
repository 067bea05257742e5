"""The page on which a person labels images, and what comes back from it as ``labels.csv``."""
