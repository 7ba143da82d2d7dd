"""How a policy is read from files and from the environment, and a changed file is noticed.

Every mistake becomes a `ConfigurationError` that names the file or variable, the field, the value and the remedy. What
a file holds is never shown but for the value that is wrong: it may hold secrets.
"""

from .building import built
from .environment import OTHERS, environment, variables
from .files import parsed, read
from .schema import json_schema
from .watch import Watch

__all__ = ["OTHERS", "Watch", "built", "environment", "json_schema", "parsed", "read", "variables"]
