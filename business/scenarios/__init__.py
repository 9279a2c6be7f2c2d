"""Saved ROI scenarios: immutable versions, their pages, files and links."""
