"""The emulator against the recorded host, and on its own."""
