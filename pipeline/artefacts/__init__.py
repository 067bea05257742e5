"""What stages make and share, each recognised by its fingerprint when it is finished."""
