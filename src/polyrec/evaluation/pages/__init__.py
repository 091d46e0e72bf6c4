"""Whole pages from plain report values: one self-contained HTML file each."""
