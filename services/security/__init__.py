"""Secrets, certificates and keys: read from files, never logged."""
