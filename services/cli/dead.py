"""`dewpoint dead`: look at the dead letters, send them to the cloud workers again, or remove them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from services.feature_stream.dead import DeadLetter, DeadLetters, LetterId

app = typer.Typer(
    name="dead",
    help="Dead letters: the hard samples that no cloud worker could answer. Their edge has made its own label final.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console(highlight=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

Config = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Settings, TOML; $DEWPOINT_CONFIG if unset.", dir_okay=False)
]
Network = Annotated[str | None, typer.Option(metavar="B", help="This network's alone, by network id.")]
Json = Annotated[Path | None, typer.Option("--json", metavar="PATH", help="Write it to this file, as JSON.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Their ids, as `dewpoint dead list` shows.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]

FINAL_BEFORE = (
    "The edge has published a final label for each (`failed`) already. An answer that comes now is counted there,"
    " and published as `correction` only where edge.correction is set."
)
#: Why a letter was not sent again, by the outcome of its replay.
NOT_REPLAYED = {
    "stands": "its sample waits in the stream already",
    "missing": "there is no such letter",
    "unreadable": "it holds no escalation that could be sent; look at it, then drop it",
}


@app.command("list")
def list_letters(
    config: Config = None,
    network: Network = None,
    limit: Annotated[int, typer.Option(min=1, help="Lines to show; the file holds all.")] = 100,
    json_path: Json = None,
) -> None:
    """List the dead letters, the oldest of each stream first.

    Example: `dewpoint dead list --config cloud.toml`
    """
    with _opened(config, network) as letters:
        found = [letter_fields(letter) for letter in letters.letters()]
    size = sum(one["letter_bytes"] for one in found)
    table = Table("id", "device", "sample", "attempt", "runs", "age", "error", box=None)
    for one in found[:limit]:
        age = "-" if one["at"] is None else f"{max(0.0, time.time() - one['at']):.0f} s"
        cells = (one["id"], one["device"], one["sample"], one["attempt"], len(one["history"]), age, one["error"])
        table.add_row(*(Text("-" if cell is None else _plain(str(cell))) for cell in cells))
    if found:
        out.print(table)
    shown = f", {limit} of them shown" if len(found) > limit else ""
    out.print(f"{len(found)} dead letters{shown}; {size:,} bytes")
    _write(json_path, {"letters": found})


@app.command()
def show(
    letter: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `dewpoint dead list` shows.")],
    config: Config = None,
    features: Annotated[bool, typer.Option("--features", help="The features too, in hexadecimal.")] = False,
    json_path: Json = None,
) -> None:
    """Show one dead letter: its sample, why it was given up, and each run.

    Example: `dewpoint dead show d61f5070b921.0/1795245811402-0`
    """
    with _opened(config, None) as letters:
        [letter_id] = _parsed([letter])
        found = letters.get(letter_id)
    if found is None:
        raise _failed(f"there is no dead letter {letter_id}")
    shown = letter_fields(found)
    if features:
        packed = getattr(found.escalation, "features", None)
        shown["features"] = None if packed is None else packed.hex()
    for name, value in shown.items():
        lines = value if isinstance(value, list) else ["-" if value is None else str(value)]
        for line in lines or ["-"]:
            out.print(f"{name:>14}  {_plain(str(line))}", markup=False, soft_wrap=True)
            name = ""
    _write(json_path, shown)


@app.command()
def replay(
    ids: Ids = None, everything: All = False, config: Config = None, network: Network = None, json_path: Json = None
) -> None:
    """Send dead letters to the cloud workers again, each as its sample's next attempt.

    Example: `dewpoint dead replay --all --network d61f5070b921`

    Their edge has published a final label by its own (`failed`) already: an answer that comes now is counted there, and
    published as `correction` only where `edge.correction` is set.
    """
    from services.feature_stream.dead import Replayed

    outcomes: dict[str, str] = {}
    with _opened(config, network) as letters:
        for letter_id in _chosen(letters, ids, everything):
            outcomes[str(letter_id)] = letters.replay(letter_id).name.lower()
    left = {name: outcome for name, outcome in outcomes.items() if outcome != Replayed.SENT.name.lower()}
    for name, outcome in left.items():
        err.print(f"{name}: {NOT_REPLAYED[outcome]}", markup=False)
    out.print(f"{len(outcomes) - len(left)} sent again, {len(left)} not")
    if len(left) < len(outcomes):
        out.print(FINAL_BEFORE)
    _write(json_path, {"outcomes": outcomes})
    _end(bool(left))


@app.command()
def drop(
    ids: Ids = None, everything: All = False, config: Config = None, network: Network = None, json_path: Json = None
) -> None:
    """Remove dead letters. Nothing else of their samples is in Redis.

    Example: `dewpoint dead drop d61f5070b921.0/1795245811402-0`
    """
    with _opened(config, network) as letters:
        dropped = {str(letter_id): letters.drop(letter_id) for letter_id in _chosen(letters, ids, everything)}
    missing = [name for name, was_there in dropped.items() if not was_there]
    for name in missing:
        err.print(f"{name}: there is no such letter", markup=False)
    out.print(f"{len(dropped) - len(missing)} removed")
    _write(json_path, {"dropped": [name for name, was_there in dropped.items() if was_there], "missing": missing})
    _end(bool(missing))


@contextmanager
def _opened(config: Path | None, network: str | None) -> Iterator[DeadLetters]:
    """The letters; what goes wrong meanwhile is one line and status 2."""
    from services import settings
    from services.feature_stream import StreamFullError, StreamUnavailableError
    from services.feature_stream.dead import DeadLetters

    try:
        letters = DeadLetters(settings.load(config).redis, network_id=network)
        try:
            yield letters
        finally:
            letters.close()
    except (settings.SettingsError, StreamUnavailableError, StreamFullError) as error:
        raise _failed(str(error)) from None


def _chosen(letters: DeadLetters, ids: list[str] | None, everything: bool) -> list[LetterId]:
    if everything == bool(ids):
        raise _failed("name dead letters by their ids, or take --all")
    return list(letters.ids()) if everything else _parsed(ids or [])


def _parsed(ids: Iterable[str]) -> list[LetterId]:
    from services.feature_stream.dead import LetterId

    try:
        return [LetterId.parse(one) for one in ids]
    except ValueError as error:
        raise _failed(str(error)) from None


def letter_fields(letter: DeadLetter) -> dict[str, Any]:
    """A letter as plain data, without its features."""
    head = letter.escalation
    features = getattr(head, "features", None)
    return {
        "id": str(letter.letter_id),
        "network": letter.letter_id.stream.network_id,
        "site": getattr(head, "site", None),
        "edge": getattr(head, "worker", None),
        "device": getattr(head, "device", None),
        "sample": getattr(head, "id", None),
        "attempt": getattr(head, "attempt", None),
        "captured_at": getattr(head, "captured_at", None),
        "exits": [list(one) for one in getattr(head, "exits", ())],
        "error": letter.error,
        "worker": letter.worker,
        "at": letter.at,
        "history": list(letter.history),
        "letter_bytes": letter.letter_bytes,
        "payload_bytes": letter.payload_bytes,
        "feature_bytes": None if features is None else len(features),
    }


def _plain(text: str) -> str:
    """Without what a terminal would obey: names in a letter come from devices."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _write(path: Path | None, content: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(content, indent=2) + "\n")


def _failed(message: str) -> typer.Exit:
    err.print(f"dewpoint dead: {message}", style="red", markup=False)
    return typer.Exit(2)


def _end(incomplete: bool) -> None:
    if incomplete:
        raise typer.Exit(1)
