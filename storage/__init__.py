"""What is remembered: one SQLite file, one connection, one transaction per method."""
