"""Every decoder of the project, fed with what nobody should send.

python -m tests.fuzz --inputs 1000000 --json fuzz.json
"""
