"""Many relationships in memory, as columns: series, counters, event ids."""
