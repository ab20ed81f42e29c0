"""The report: one HTML page about runs."""
