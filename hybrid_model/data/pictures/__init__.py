"""Somebody's own pictures: found, looked at, divided by content and decoded to one size."""

from hybrid_model.data.pictures.division import divide
from hybrid_model.data.pictures.errors import PictureDataError
from hybrid_model.data.pictures.listing import holds_pictures, list_pictures
from hybrid_model.data.pictures.loading import decode, decoded_bytes, free_bytes, load_pictures
from hybrid_model.data.pictures.survey import LEAST_PER_CLASS, Picture, Survey, require_trainable, survey
from hybrid_model.data.pictures.unlabelled import NO_LABEL, Unlabelled, load_unlabelled

__all__ = [
    "LEAST_PER_CLASS",
    "NO_LABEL",
    "Picture",
    "PictureDataError",
    "Survey",
    "Unlabelled",
    "decode",
    "decoded_bytes",
    "divide",
    "free_bytes",
    "holds_pictures",
    "list_pictures",
    "load_pictures",
    "load_unlabelled",
    "require_trainable",
    "survey",
]
