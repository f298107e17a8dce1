"""Adapters: the ports on Azure Storage, in memory, and on the external API."""
