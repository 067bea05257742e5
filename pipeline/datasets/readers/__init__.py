"""One reader of files or one known data set a module."""
