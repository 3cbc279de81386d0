"""What `dewpoint try` does: files become samples by the edge worker's own decoders, and both halves answer them."""

from services.cli.trial.answers import Halves, TrialAnswer
from services.cli.trial.files import FileReader, FileSamples, TrialSample

__all__ = ["FileReader", "FileSamples", "Halves", "TrialAnswer", "TrialSample"]
