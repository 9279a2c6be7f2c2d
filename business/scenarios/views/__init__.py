"""The pages of scenarios. Each view parses, calls one service or selector, and renders."""
