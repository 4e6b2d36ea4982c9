"""The model of `research_agent`: its little worlds, its training, its measurement."""
