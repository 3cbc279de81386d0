"""The cloud worker: it answers the hard samples that wait in Redis, with the full-precision half of their network.

python -m services.cloud --config dewpoint.toml
"""
