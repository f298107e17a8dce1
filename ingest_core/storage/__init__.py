"""Storage: the layout of rows and messages, and the adapters that store them (Azure, or memory in tests)."""
