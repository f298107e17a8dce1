"""What callers and operators may ask for: accept, read, list, steer, foresee. It takes and returns values."""
