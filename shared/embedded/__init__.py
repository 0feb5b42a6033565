"""The servers and services of `rapport up --embedded`, supervised as child processes of one command."""
