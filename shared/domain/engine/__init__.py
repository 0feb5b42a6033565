"""Folding the log into relationships, and evaluating what falls due."""
