"""Loading history: files and git repositories become ordinary events, posted to ingest as backfill."""
