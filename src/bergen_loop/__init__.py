"""bergen-loop joins a brand's Loop Returns account to Bergen's warehouse system REX11."""

__version__ = "0.1.0"
