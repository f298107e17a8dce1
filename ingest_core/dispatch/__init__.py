"""The dispatcher: which batch starts next, when it may start, and what becomes of it."""
