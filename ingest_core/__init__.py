"""The ingestion service: accepts lists of IDs and dispatches their batches; knows nothing of Azure Functions."""
