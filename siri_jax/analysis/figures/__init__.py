"""The figures of run folders."""
