"""The plain design, as a function app."""
