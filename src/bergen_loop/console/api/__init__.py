"""The JSON API under /api/v1, for a brand's or Bergen's own programs."""
