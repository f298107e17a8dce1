"""The error that ends the emulator before it serves."""


class AppError(Exception):
    """The app cannot be served. The message is one line that says what is wrong and how to fix it."""
