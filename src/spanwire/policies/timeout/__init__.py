"""The total deadline of a call and the time limits of its attempts."""
