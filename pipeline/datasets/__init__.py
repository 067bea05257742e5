"""Images, how they are found, split and handed out."""
