"""`dewpoint stream`: samples to the broker, from a camera, a folder, a table or a data set."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from services.cli.common import Config, Json, err, fail, must_be_writable, out, plain_errors, write_json

if TYPE_CHECKING:
    from services.settings import Settings
    from services.sources.encodings import Encoding
    from services.sources.frames.region import Region
    from services.sources.frames.size import Size

_HELP = """Send real samples to the MQTT broker, as devices would, on dewpoint/SITE/in/DEVICE.

Examples:

`dewpoint stream camera rtsp://camera.example/stream --rate 2 --motion 0.01`

`dewpoint stream camera 0 --region 0.25,0.25,0.5,0.5 --size 32x32`

`dewpoint stream camera door.mp4 --rate 5`

`dewpoint stream folder /srv/ftp/camera`

`dewpoint stream csv fans.csv --from-now`

`read-sensor | dewpoint stream csv - --header time,x,y,z`

`dewpoint stream dataset digits --rate 20 --devices 3 --degrade noise:0.4`

Each has `--help` of its own. `dewpoint stream digits ...` is short for `dewpoint stream dataset digits ...`.
"""


class _Kinds(TyperGroup):
    """The kinds of source; what is none is taken for a data set, as in the days when there was nothing else."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help"):
            if not args[0].startswith("-"):
                from hybrid_model import data

                if args[0] not in data.NAMES:
                    fail(
                        f"stream: {args[0]!r} is neither a kind of source ({', '.join(sorted(self.commands))})"
                        f" nor a data set ({', '.join(data.NAMES)})"
                    )
            args = ["dataset", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="stream",
    cls=_Kinds,
    help=_HELP,
    short_help="Send real samples to the MQTT broker: a camera, a folder, a table or a data set.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

Site = Annotated[str | None, typer.Option(help="The site's name.")]
Host = Annotated[str | None, typer.Option(help="The MQTT broker's name or address.")]
Port = Annotated[int | None, typer.Option(help="The MQTT broker's TCP port.")]
InFlight = Annotated[int, typer.Option(min=1, max=65535, help="Messages that may await acknowledgement.")]
RegionText = Annotated[
    str | None,
    typer.Option("--region", metavar="LEFT,TOP,WIDTH,HEIGHT", help="The part that is sent, in fractions of the sides."),
]
SizeText = Annotated[
    str | None, typer.Option("--size", metavar="WIDTHxHEIGHT", help="The size that it is sent in, pixels.")
]
Quality = Annotated[int, typer.Option(min=1, max=100, help="Of JPEG and WebP.")]
Bare = Annotated[bool, typer.Option("--raw", help="The bare picture, for an input of kind `image` (or `array`).")]


@app.command()
@plain_errors
def camera(
    source: Annotated[
        str,
        typer.Argument(
            metavar="URL|DEVICE|FILE", help="rtsp://..., http://... (MJPEG), /dev/videoN or just N, a video file."
        ),
    ],
    device: Annotated[str, typer.Option(help="The name that its samples go by.")] = "camera-1",
    rate_hz: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Frames a second at most; all if unset.")
    ] = None,
    motion: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Send only what differs in so many of its pixels from the last sent.",
        ),
    ] = None,
    still_s: Annotated[
        float | None,
        typer.Option(min=0.0, help="With --motion: send one after so many seconds even so. 60 if unset."),
    ] = None,
    region: RegionText = None,
    size: SizeText = None,
    encoding: Annotated[str, typer.Option(help="Frames travel as jpeg, png, webp or array.")] = "jpeg",
    quality: Quality = 90,
    frames: Annotated[int | None, typer.Option(min=1, help="End after so many were sent.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="A file: as fast as it goes, and no frame is too late.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="A file: begin again at its end.")] = False,
    user: Annotated[str | None, typer.Option(help="Who we are to the camera.")] = None,
    password_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file that holds the camera's password.", dir_okay=False)
    ] = None,
    silent_s: Annotated[
        float, typer.Option(min=0.1, help="A camera that gives nothing for so long is connected anew.")
    ] = 10.0,
    raw: Bare = False,
    in_flight: InFlight = 2,
    config: Config = None,
    site: Site = None,
    host: Host = None,
    port: Port = None,
    json_path: Json = None,
) -> None:
    """Send the frames of a camera or a video file. Needs the extra `camera`.

    Examples:
    `dewpoint stream camera rtsp://camera.example/stream --user viewer --password-file camera.password --rate 2`

    `dewpoint stream camera 0 --motion 0.01 --still-s 30 --size 32x32`

    `dewpoint stream camera door.mp4 --fast --json sent.json`

    The newest frame is sent: what the broker or the link is too slow for is left out and counted, never queued. A video
    plays at its own pace and ends the command; a camera that is lost is tried again until Ctrl-C.
    """
    from services.security.secret_files import read_secret
    from services.sources.camera.address import find_address
    from services.sources.camera.reader import Playback
    from services.sources.camera.stream import CameraOptions, run_camera
    from services.sources.frames.packing import Packing

    if still_s is not None and motion is None:
        fail("--still-s is for frames that --motion holds back: give --motion too")
    address = find_address(source, user=user, password=None if password_file is None else read_secret(password_file))
    if address.password_given:
        err.print("the URL holds a password, which others on this machine can read: --user and --password-file hide it")
    packing = Packing(_region(region), _size(size), _encoding(encoding), quality, raw)
    options = CameraOptions(
        address, device=_device(device), frames=frames, motion=motion, still_s=60.0 if still_s is None else still_s,
        in_flight=in_flight, packing=packing,
        playback=Playback(rate_hz=rate_hz, fast=fast, loop=loop, silent_s=silent_s),
    )  # fmt: skip
    loaded = _settings(config, site, host, port, in_flight)
    _send(lambda: run_camera(options, loaded, console=err), json_path)


@app.command()
@plain_errors
def folder(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="The folder; all below it belongs to it.")],
    device: Annotated[str, typer.Option(help="The name that its samples go by.")] = "camera-1",
    once: Annotated[bool, typer.Option("--once", help="End after what is there.")] = False,
    rate_hz: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Pictures a second at most; unlimited if unset.")
    ] = None,
    settle_s: Annotated[
        float, typer.Option(min=0.0, help="A file is complete once it has not changed for so long.")
    ] = 1.0,
    region: RegionText = None,
    size: SizeText = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Pictures travel as jpeg, png, webp or array; if unset, as the files are, where possible."),
    ] = None,
    quality: Quality = 90,
    raw: Bare = False,
    in_flight: InFlight = 64,
    config: Config = None,
    site: Site = None,
    host: Host = None,
    port: Port = None,
    json_path: Json = None,
) -> None:
    """Send the pictures of a folder, then those that come.

    Examples:
    `dewpoint stream folder /srv/ftp/camera --device door`

    `dewpoint stream folder pictures --once --size 32x32 --json sent.json`

    A file is sent once it is completely written, and again only when its content has changed. A sample's id begins with
    the name of its file, and stays the same when the command is run again.
    """
    from services.sources.folder.stream import FolderOptions, run_folder

    options = FolderOptions(
        path, device=_device(device), once=once, rate_hz=rate_hz, region=_region(region), size=_size(size),
        encoding=None if encoding is None else _encoding(encoding), quality=quality, raw=raw, settle_s=settle_s,
    )  # fmt: skip
    loaded = _settings(config, site, host, port, in_flight)
    _send(lambda: run_folder(options, loaded, console=err), json_path)


@app.command("csv")
@plain_errors
def table(
    source: Annotated[str, typer.Argument(metavar="FILE|-", help="A CSV file, or - for standard input.")],
    columns: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="The channels, in the network's order; all other columns if unset."),
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="The network, for the names and order of its channels.")
    ] = None,
    time_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The readings' times; `time`, `timestamp` or `t` if unset.")
    ] = None,
    device_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose they are; `device` or `subject` if unset and there.")
    ] = None,
    device: Annotated[str, typer.Option(help="Whose they are, where no column says so.")] = "sensor-1",
    header: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="The columns' names, where the first line has none.")
    ] = None,
    rate_hz: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Rows a second; as their times say if unset.")
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help="As fast as the broker takes them.")] = False,
    from_now: Annotated[bool, typer.Option("--from-now", help="Shift the times so that the first row is now.")] = False,
    in_flight: InFlight = 64,
    config: Config = None,
    site: Site = None,
    host: Host = None,
    port: Port = None,
    json_path: Json = None,
) -> None:
    """Send the rows of a table as readings, one a message.

    Examples:
    `dewpoint stream csv fans.csv --bundle fans.dew --from-now`

    `dewpoint stream csv machine.csv --columns acc_x,acc_y,acc_z --time-column recorded --rate 50`

    `read-sensor | dewpoint stream csv - --header time,x,y,z --device press-4`

    A file is sent at the pace of its times; what comes on standard input is sent line by line as it comes, and is of
    now where it has no time. A row that is no reading is left out and counted.
    """
    from services.sources.table.columns import Wanted
    from services.sources.table.stream import TableOptions, run_table

    if fast and rate_hz is not None:
        fail("--fast and --rate exclude each other")
    wanted = Wanted(_channels(columns, bundle), device_column, time_column)
    live = source == "-"
    options = TableOptions(
        name="standard input" if live else source, device=_device(device), wanted=wanted,
        header=None if header is None else _names(header, "--header"), rate_hz=rate_hz, live=live, fast=fast,
        from_now=from_now,
    )  # fmt: skip
    loaded = _settings(config, site, host, port, in_flight)
    with _lines(source) as lines:
        _send(lambda: run_table(options, lines, loaded, console=err), json_path)


@app.command()
@plain_errors
def dataset(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="digits, cifar10, cifar100 or har.")],
    frames: Annotated[int | None, typer.Option(min=1, help="Samples to send; the whole split if unset.")] = None,
    rate_hz: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="Samples per second over all devices; unlimited if unset.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, max=1000, help="Devices that take turns.")] = 3,
    degrade: Annotated[
        list[str] | None,
        typer.Option(metavar="[DEVICE=]KIND[:STRENGTH]", help="Spoil a device (the last one): noise, blur or fog."),
    ] = None,
    split: Annotated[str, typer.Option(help="train, tuning, calibration or test.")] = "test",
    encoding: Annotated[str, typer.Option(help="Pictures travel as png, jpeg, webp or array.")] = "png",
    rows: Annotated[int, typer.Option(min=1, help="Sensor readings in one message.")] = 32,
    raw: Annotated[
        bool, typer.Option("--raw", help="Without envelope, id, seq and time, as foreign devices send.")
    ] = False,
    endless: Annotated[bool, typer.Option("--endless", help="Begin again at the end, until stopped.")] = False,
    in_flight: InFlight = 64,
    config: Config = None,
    site: Site = None,
    host: Host = None,
    port: Port = None,
    json_path: Json = None,
) -> None:
    """Replay a data set as several devices would have recorded it.

    Example: `dewpoint stream dataset digits --rate 20 --devices 3 --degrade noise:0.4`
    """
    from services.sources.dataset import StreamOptions, run_stream

    options = StreamOptions(
        dataset=dataset, frames=frames, rate_hz=rate_hz, devices=devices, degraded=tuple(degrade or ()), split=split,
        encoding=encoding, rows_per_message=rows, raw=raw, endless=endless,
    )  # fmt: skip
    loaded = _settings(config, site, host, port, in_flight)
    _send(lambda: run_stream(options, loaded, console=err), json_path)


def _settings(config: Path | None, site: str | None, host: str | None, port: int | None, in_flight: int) -> Settings:
    from services import settings

    mqtt = {"host": host, "port": port, "inflight_max": in_flight}
    return settings.load(config, {"site": {"name": site}, "mqtt": mqtt})


def _send(run: Callable[[], dict[str, Any]], json_path: Path | None) -> None:
    """Run a stream and show its figures; exit status 2 where the broker has not taken all."""
    from services.cli.interruption import interruptible
    from services.common import logs
    from services.settings import LogSettings

    must_be_writable(json_path)
    logs.configure(LogSettings(level="warning"))
    with interruptible():
        sent = run()
    out.print_json(data=sent)
    write_json(json_path, sent)
    what = "samples" if sent["samples"] else "messages"
    if sent["messages_acknowledged"] < sent["messages"]:
        fail(f"the broker acknowledged {sent[f'{what}_acknowledged']} of {sent[what]} {what}")


@contextmanager
def _lines(source: str) -> Iterator[Iterable[str]]:
    """The lines of a file, or of standard input each as it comes."""
    if source == "-":
        yield io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8", errors="replace", newline="")
    else:
        with Path(source).open(newline="", encoding="utf-8", errors="replace") as file:
            yield file


def _region(text: str | None) -> Region | None:
    from services.sources.frames.region import Region

    return None if text is None else Region.parse(text)


def _size(text: str | None) -> Size | None:
    from services.sources.frames.size import Size

    return None if text is None else Size.parse(text)


def _encoding(name: str) -> Encoding:
    from services.sources.encodings import encoding_of

    return encoding_of(name)


def _device(name: str) -> str:
    from services.messages import MessageError, device_of_level, level_of_device

    try:
        return device_of_level(level_of_device(name))
    except MessageError:
        fail(f"--device {name!r}: a name has 1 to 256 characters that can be printed")


def _channels(columns: str | None, bundle: str | None) -> tuple[str, ...] | None:
    """The columns of the channels, as somebody or a network names them; none if nobody does."""
    if bundle is None:
        return None if columns is None else _names(columns, "--columns")
    if columns is not None:
        fail("--columns and --bundle exclude each other")
    from hybrid_model import bundle as bundle_file

    expected = bundle_file.load(bundle_file.resolve(bundle)).manifest.input
    if expected.kind != "sensor" or expected.channels is None:
        fail(f"--bundle {bundle} names no channels of readings: --columns does")
    return expected.channels


def _names(text: str, option: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        fail(f"{option} {text!r}: write names, parted by commas")
    return names
