"""The demonstration's pipeline at half its capacity, for long: does anything grow?

python -m tests.soak --minutes 30 --json soak.json --picture soak.svg
"""
