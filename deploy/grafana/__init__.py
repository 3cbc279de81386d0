"""Dashboards, as code."""
