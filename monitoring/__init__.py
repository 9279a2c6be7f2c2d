"""Nodes, observations, alerts and the live dashboard."""
