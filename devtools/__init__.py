"""What `dev.py` does: sets up, starts and checks the service. Standard library only, and no shell."""
