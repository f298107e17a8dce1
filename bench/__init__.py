"""Measures the service, a plain design and a design in memory: `python -m bench`. RESULTS.md has the results."""
