"""Alerts: their life, what is shown of them, and when they are delivered."""
