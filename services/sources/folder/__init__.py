"""A folder of picture files: what is there, and what comes."""
