"""Picture files and pixels: the one decoder of JPEG, PNG and WebP, with limits; and PNG, also as data URLs.

What is wrong with a file is a MessageError with a reason, whoever sent it.
"""

from services.pictures.decode import decode_picture, read_picture
from services.pictures.encode import png_bytes, png_url

__all__ = ["decode_picture", "png_bytes", "png_url", "read_picture"]
