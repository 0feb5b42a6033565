"""What an event is: its types and their fields, times, and what is accepted."""
