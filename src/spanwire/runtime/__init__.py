"""The two colours of the outside world, behind one protocol."""
