"""Every command of `rapport`, one file a noun."""
