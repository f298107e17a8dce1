"""The dispatcher: decides which batch starts next and when, runs the batches, and keeps storage in order."""
