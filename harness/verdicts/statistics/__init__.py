"""Estimates, intervals, tests, families, power and looks: pure functions that know neither claims nor stores."""
