"""Access to an exchange: a small Protocol, and one file for each exchange. No Django."""
