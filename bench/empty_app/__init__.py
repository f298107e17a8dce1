"""A function app that does nothing."""
