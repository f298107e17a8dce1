"""The tests of `dev.py`."""
