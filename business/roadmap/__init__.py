"""The adoption roadmap: four phases, their tasks, and exit criteria measured from the platform."""
