"""The Trainer, its callbacks, checkpoints, and training in several processes."""
