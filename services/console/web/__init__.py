"""The way in: the socket and its server, and who is let through to the page. Knows nothing of what is shown."""

from services.console.web.access import required_token
from services.console.web.serving import bound_socket, serve

__all__ = ["bound_socket", "required_token", "serve"]
