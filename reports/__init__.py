"""Stored results into tables, plots and one HTML file."""
