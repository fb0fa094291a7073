"""The web side: webhook endpoint, console, JSON API, health."""
