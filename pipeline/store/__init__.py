"""Files on disk: atomic writes, locks, manifests and fingerprints."""
