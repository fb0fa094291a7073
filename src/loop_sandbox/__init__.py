"""A Loop API and a REX11 service in memory, to run the product against.

It shares no code with the service, so that a mistake in one shows in the other. Where the outside
systems' behaviour is not documented it takes the unkind choice, or a setting (`Settings`).
"""

from loop_sandbox.app import create_app
from loop_sandbox.clock import ManualClock, SystemClock
from loop_sandbox.settings import Settings
from loop_sandbox.world import SandboxWorld

__all__ = ["ManualClock", "SandboxWorld", "Settings", "SystemClock", "create_app"]
