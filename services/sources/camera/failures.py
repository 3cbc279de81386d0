"""What a camera's failures mean: which are not worth another try, and what each is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.sources.camera.address import Address
from services.sources.errors import SourceError

if TYPE_CHECKING:
    from av.error import FFmpegError

__all__ = ["LostError", "judged"]


class LostError(SourceError):
    """The connection to a camera is lost, or it cannot be reached now; it may come back."""


def judged(error: FFmpegError, address: Address, *, seen: bool) -> SourceError:
    """The error to raise for one of FFmpeg's: LostError where another try may help. Never holds a password.

    `seen`: whether this source has given frames before, so that its name is right.
    """
    import av.error as av

    def final(reason: str) -> SourceError:
        return SourceError(f"{address.shown}: {reason}")

    if isinstance(error, av.HTTPUnauthorizedError):
        return final("it asks for a user and a password, or refuses these (401): --user and --password-file name them")
    if isinstance(error, av.HTTPForbiddenError):
        return final("access is forbidden to this user (403): --user names another")
    if isinstance(error, av.ProtocolNotFoundError):
        return final("this build of FFmpeg does not speak it")
    lost = LostError(f"{address.shown}: {_reason(error, address)}")
    if seen and address.kind != "file":
        return lost
    if isinstance(error, av.HTTPNotFoundError):
        return final("the camera has no such path (404): see its manual for the stream's")
    if address.kind == "url":
        # An RTSP server that says nothing looks like one that says something else.
        unreadable = isinstance(error, av.InvalidDataError) and address.opened.startswith("http")
        return final("what comes from there is no video") if unreadable else lost
    return final(_reason(error, address))


def _reason(error: FFmpegError, address: Address) -> str:
    """In words; FFmpeg's own text ends with the URL, which may hold a password."""
    import av.error as av

    if isinstance(error, av.ExitError):
        return "it is silent"
    if isinstance(error, av.InvalidDataError):
        return "gives no video" if address.kind == "url" else "is no video that can be read"
    if address.kind == "device":
        if isinstance(error, av.FileNotFoundError):
            return "no such device; `ls /dev/video*` lists them"
        if error.errno == 25:  # ENOTTY
            return "is no camera"
        if error.errno == 16:  # EBUSY
            return "another program uses it"
        if isinstance(error, av.PermissionError):
            return "may not be read: this user needs the group `video`"
    if address.kind == "url" and error.errno == 5:  # EIO: also what a name that is not known is called
        return "cannot be reached, or has ended the stream"
    return (error.strerror or "failed").lower()
