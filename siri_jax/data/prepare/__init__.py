"""Conversion of problem sets to problem files."""
