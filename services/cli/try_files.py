"""The command `dewpoint try`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cli.common import Bundle, Json, app, err, fail, must_be_writable, out, plain_errors, write_json


@app.command("try")
@plain_errors
def try_files(
    bundle: Bundle,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Pictures (JPEG, PNG, WebP), or CSV files of readings.")
    ],
    fit: Annotated[
        str | None,
        typer.Option(
            metavar="exact|resize",
            help="Pictures of another size than the network's: refuse or scale them. If unset they are scaled for a "
            "network of own pictures, else refused.",
        ),
    ] = None,
    hop: Annotated[
        int | None, typer.Option(min=1, help="Readings from one window's start to the next; a whole window if unset.")
    ] = None,
    json_path: Json = None,
) -> None:
    """Answer files at once, without brokers: the edge half where it is sure, else the cloud half.

    Example: `dewpoint try parts.dew photo.jpg`; of sensors: `dewpoint try har rows.csv`

    Files are decoded as an edge worker decodes what comes by MQTT. A CSV file has a header with the names of the
    network's channels, and may have columns `device` and `time` (seconds since 1970, or ISO 8601). Without torch the
    edge half's answer is shown, and whether the sample would rise.

    The exit status is 1 if a file, or a row of one, could not be read; the others are answered.
    """
    from hybrid_model import bundle as bundle_file
    from services.cli.trial import FileReader, Halves, TrialAnswer
    from services.cli.trial.files import TrialError
    from services.cli.views import try_view

    must_be_writable(json_path)
    if fit not in (None, "exact", "resize"):
        fail(f"unknown --fit {fit!r}; take exact or resize")
    halves = Halves(bundle_file.resolve(bundle))
    manifest = halves.manifest
    of_own_pictures = manifest.split_files is not None and manifest.split_files.kind == "pictures"
    reader = FileReader(manifest, fit=fit or ("resize" if of_own_pictures else "exact"), hop=hop)
    answers: list[TrialAnswer] = []
    notes: list[str] = []
    problems: list[str] = []
    for path in files:
        try:
            found = reader.read(path)
        except TrialError as error:
            problems.append(str(error))
        except OSError as error:
            problems.append(f"{path}: {error.strerror or error}; check the path")
        else:
            answers += halves.answer(found.samples)
            notes += found.notes
            problems += found.problems
    if answers:
        out.print(try_view.table(manifest, answers))
    if of_own_pictures and fit is None:
        notes.append(try_view.scaled_note(manifest))
    if any(one.provisional for one in answers):
        notes.append("torch is not installed, so there is no cloud half here: pip install 'dewpoint[cloud]'")
    for note in notes:
        err.print(try_view.plain(note), style="dim", markup=False, highlight=False)
    for problem in problems:
        err.print(try_view.plain(f"dewpoint: {problem}"), style="red", markup=False, highlight=False)
    write_json(json_path, [one.to_json() for one in answers])
    if problems:
        raise typer.Exit(1)
