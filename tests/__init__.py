"""The tests. One process of them a core, each with one thread for its sums."""

import os

# Before torch and NumPy are loaded, here and in every process that a test starts: two pytest workers whose OpenMP
# threads wait for each other on two cores train digits in six times the CPU time of one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")
