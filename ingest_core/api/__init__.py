"""HTTP: requests become values, values become JSON, and every error becomes a problem (RFC 9457)."""
