"""The cloud worker: it answers the hard samples that wait in Redis, with the full-precision half of their network.

python -m services.cloud --config dewpoint.toml
"""

from services.cloud.networks import Networks
from services.cloud.process import make_worker, run

__all__ = ["Networks", "make_worker", "run"]
