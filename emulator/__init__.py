"""A small local Azure Functions host: HTTP and timer triggers of any Python v2 function app, on loopback only."""
