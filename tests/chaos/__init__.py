"""The whole pipeline with real servers, broken again and again while samples come; the books must balance in the end.

python -m tests.chaos --samples 20000 --faults 200 --json chaos.json
"""
