"""From plain values to trained models, nothing on disk: what the stages and the estimators both call."""
