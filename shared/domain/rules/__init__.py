"""Red and green flags: each rule in one declaration."""
