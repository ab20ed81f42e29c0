"""Process, files, devices and screen."""
