"""A relationship: its directory, people and facts, its timeline, its state and what stands flagged."""
