"""`dewpoint dead`: look at the dead letters, send them to the cloud workers again, or remove them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from services.cli.common import Config, Json, err, out, write_json
from services.common.exit_status import NO_START

if TYPE_CHECKING:
    from services.feature_stream.dead import DeadLetters, LetterId

app = typer.Typer(
    name="dead",
    help="Dead letters: the hard samples that no cloud worker could answer. Their edge has made its own label final.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
Network = Annotated[str | None, typer.Option(metavar="B", help="This network's alone, by network id.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Their ids, as `dewpoint dead list` shows.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


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
        listed = [letter.to_json() for letter in letters.letters()]
    size = sum(fields["letter_bytes"] for fields in listed)
    table = Table("id", "device", "sample", "attempt", "runs", "age", "error", box=None)
    for fields in listed[:limit]:
        age = "-" if fields["at"] is None else f"{max(0.0, time.time() - fields['at']):.0f} s"
        where = (fields["id"], fields["device"], fields["sample"])
        cells = (*where, fields["attempt"], len(fields["history"]), age, fields["error"])
        table.add_row(*(Text("-" if cell is None else _plain(str(cell))) for cell in cells))
    if listed:
        out.print(table)
    shown = f", {limit} of them shown" if len(listed) > limit else ""
    out.print(f"{len(listed)} dead letters{shown}; {size:,} bytes", highlight=False)
    write_json(json_path, {"letters": listed})


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
    shown = found.to_json()
    if features:
        packed = getattr(found.escalation, "features", None)
        shown["features"] = None if packed is None else packed.hex()
    for name, value in shown.items():
        lines = value if isinstance(value, list) else ["-" if value is None else str(value)]
        for line in lines or ["-"]:
            out.print(f"{name:>14}  {_plain(str(line))}", markup=False, soft_wrap=True, highlight=False)
            name = ""
    write_json(json_path, shown)


@app.command()
def replay(
    ids: Ids = None, everything: All = False, config: Config = None, network: Network = None, json_path: Json = None
) -> None:
    """Send dead letters to the cloud workers again, each as its sample's next attempt.

    Example: `dewpoint dead replay --all --network d61f5070b921`

    Their edge has published a final label by its own (`failed`) already: an answer that comes now is counted there, and
    published as `correction` only where `edge.correction` is set.
    """
    from services.feature_stream.dead import FINAL_BEFORE, Replayed

    outcomes: dict[str, Replayed] = {}
    with _opened(config, network) as letters:
        for letter_id in _chosen(letters, ids, everything):
            outcomes[str(letter_id)] = letters.replay(letter_id)
    left = {name: outcome for name, outcome in outcomes.items() if outcome is not Replayed.SENT}
    for name, outcome in left.items():
        err.print(f"{name}: {outcome.reason}", markup=False, highlight=False)
    out.print(f"{len(outcomes) - len(left)} sent again, {len(left)} not", highlight=False)
    if len(left) < len(outcomes):
        out.print(FINAL_BEFORE, highlight=False)
    write_json(json_path, {"outcomes": {name: outcome.name.lower() for name, outcome in outcomes.items()}})
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
        err.print(f"{name}: there is no such letter", markup=False, highlight=False)
    out.print(f"{len(dropped) - len(missing)} removed", highlight=False)
    write_json(json_path, {"dropped": [name for name, was_there in dropped.items() if was_there], "missing": missing})
    _end(bool(missing))


@contextmanager
def _opened(config: Path | None, network: str | None) -> Iterator[DeadLetters]:
    """The letters; what goes wrong meanwhile is one line and status 2."""
    from hybrid_model.errors import DewpointError
    from services import settings
    from services.feature_stream.dead import DeadLetters

    try:
        letters = DeadLetters(settings.load(config).redis, network_id=network)
        try:
            yield letters
        finally:
            letters.close()
    except DewpointError as error:
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


def _plain(text: str) -> str:
    """Without what a terminal would obey: names in a letter come from devices."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _failed(message: str) -> typer.Exit:
    err.print(f"dewpoint dead: {message}", style="red", markup=False, highlight=False)
    return typer.Exit(NO_START)


def _end(incomplete: bool) -> None:
    if incomplete:
        raise typer.Exit(1)
