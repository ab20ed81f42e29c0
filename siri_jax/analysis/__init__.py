"""Reads run folders, and nothing else: curves, tables, figures."""
