"""The command line: parses, calls `retake`, and shows. Nothing is decided here."""
