"""Where secrets are kept, and how they are read. The configuration names them only:

- `env:NAME`: an environment variable of the process.
- `file:PATH`: a file that its owner alone may read; a relative path starts at the configuration
  file's folder.
- `keyring:SERVICE/NAME`: the operating system's keyring.
- `ledger:NAME`: the ledger, encrypted under a key that is kept elsewhere.
"""

from bergen_loop.secrets.errors import SecretError
from bergen_loop.secrets.stores import SCHEMES, SecretStores

__all__ = ["SCHEMES", "SecretError", "SecretStores"]
