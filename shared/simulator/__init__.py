"""The demo's portfolio: an invented B2B product's relationships, 12 months of history, then live traffic.

It is a client like any other: ordinary CloudEvents over HTTP to ingest. Nothing else in Rapport knows of it.
"""
