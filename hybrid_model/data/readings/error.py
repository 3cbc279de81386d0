"""What is raised for readings that no network can be made of."""

from hybrid_model.data.dataset import DataError

__all__ = ["ReadingsError"]


class ReadingsError(DataError):
    """Files of readings that cannot be read, or of which no data set can be made; the message is one line."""
