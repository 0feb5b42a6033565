"""Relationship Intelligence and Relationship Value, factor by factor."""
