"""The tests of spanwire; helpers are imported as `from tests.components import require`."""
