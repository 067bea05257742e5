"""The report: what was found (story), drawn (figures) and set in type (page). It reads files, and trains nothing."""
