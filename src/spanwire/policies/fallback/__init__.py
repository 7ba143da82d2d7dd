"""What is served in place of a failure."""
