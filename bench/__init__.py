"""What the service costs, beside the plain design and beside memory: `python -m bench`, results in RESULTS.md."""
