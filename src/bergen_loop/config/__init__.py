"""Configuration: a YAML file with the service's settings and one block per brand.

Every mistake is reported with file, line, field and what to do; all of them at once. Secrets
are never written into the file: it names where they are (see `bergen_loop.secrets`).
"""

from bergen_loop.config.errors import ConfigError, Problem
from bergen_loop.config.models import BrandSettings, ServiceSettings, Settings
from bergen_loop.config.source import load_service, load_settings, load_usable, parse_settings

__all__ = [
    "BrandSettings",
    "ConfigError",
    "Problem",
    "ServiceSettings",
    "Settings",
    "load_service",
    "load_settings",
    "load_usable",
    "parse_settings",
]
