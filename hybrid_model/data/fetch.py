"""Where data files lie, and how they are fetched from their publishers: verified, with a progress bar, whole."""

from __future__ import annotations

import hashlib
import os
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from hybrid_model.data.dataset import DataDamagedError, DataMissingError

_CHUNK_BYTES = 1 << 18
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Archive:
    """A publisher's file. `md5` is None where the publisher states none: then its contents are checked when read."""

    url: str
    file_name: str
    md5: str | None
    bytes_max: int


def cache_folder() -> Path:
    """Where downloads are kept."""
    return Path.home() / ".cache" / "dewpoint"


def folders() -> Iterator[Path]:
    """The folders that may hold data, in the order in which they are searched."""
    named = os.environ.get("DEWPOINT_DATA")
    if named:
        yield Path(named)
    yield cache_folder()


def verify(path: Path, md5: str) -> None:
    """Raises DataDamagedError unless the file's MD5 (the publishers' choice) is `md5`."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5:
        raise DataDamagedError(f"{path}: its MD5 is {found}, not {md5}; delete it, and it is fetched again")


def download(archive: Archive, *, data_name: str, progress: bool = True) -> Path:
    """Fetch an archive into the cache, whole or not at all. Raises DataMissingError, DataDamagedError."""
    folder = cache_folder()
    target = folder / archive.file_name
    unfinished: str | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=archive.file_name, suffix=".part", delete=False) as file:
            unfinished = file.name
            for chunk in _chunks(archive, data_name=data_name, progress=progress):
                file.write(chunk)
        if archive.md5 is not None:
            verify(Path(unfinished), archive.md5)
        Path(unfinished).replace(target)
        unfinished = None
    except (URLError, OSError, ValueError) as error:
        raise DataMissingError(
            f"{data_name}: not in $DEWPOINT_DATA ({os.environ.get('DEWPOINT_DATA') or 'unset'}), not in {folder}, "
            f"and {archive.url} could not be fetched ({error}); fetch it elsewhere and put it into {folder}"
        ) from error
    finally:
        if unfinished is not None:
            Path(unfinished).unlink(missing_ok=True)
    return target


def _chunks(archive: Archive, *, data_name: str, progress: bool) -> Iterator[bytes]:
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with (
        urllib.request.urlopen(archive.url, timeout=_TIMEOUT_S) as response,
        Progress(*columns, disable=not progress, transient=True) as bar,
    ):
        announced = response.headers.get("Content-Length")
        task = bar.add_task(f"fetching {data_name}", total=int(announced) if announced else None)
        received = 0
        while chunk := response.read(_CHUNK_BYTES):
            received += len(chunk)
            if received > archive.bytes_max:
                raise ValueError(f"larger than {archive.bytes_max} bytes")
            bar.update(task, advance=len(chunk))
            yield chunk
        if announced and received != int(announced):
            raise ValueError(f"connection ended after {received} of {announced} bytes")
