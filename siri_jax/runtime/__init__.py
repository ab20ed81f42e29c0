"""Processes, files, devices and the terminal."""
