"""The command `dewpoint explain`."""

from __future__ import annotations

from typing import Annotated

import typer

from services.cli.common import (
    Json,
    Picture,
    app,
    fail,
    must_be_drawable,
    must_be_writable,
    out,
    plain_errors,
    write_json,
)


@app.command()
@plain_errors
def explain(
    sample: Annotated[
        str | None,
        typer.Argument(metavar="[SAMPLE]", help="DEVICE/ID with --worker; a picture or .npy file; DATASET:NUMBER."),
    ] = None,
    worker: Annotated[
        str | None, typer.Option(metavar="URL", help="An edge worker that keeps inputs: the address of its metrics.")
    ] = None,
    bundle: Annotated[
        str | None, typer.Option(metavar="BUNDLE", help="For files: a .dew file, or the name of a shipped bundle.")
    ] = None,
    split: Annotated[str, typer.Option(help="Of DATASET: train, tuning, calibration or test.")] = "test",
    exit_index: Annotated[
        int | None, typer.Option("--exit", min=0, help="The exit of the map; the one that decided if unset.")
    ] = None,
    picture: Picture = None,
    json_path: Json = None,
) -> None:
    """Show why a sample left at an exit or was escalated: what each exit thought of it, and what that hangs on.

    Example: `dewpoint explain digits:3`

    Of a running worker: `dewpoint explain camera-1/6bd2daa1-000003 --worker http://127.0.0.1:9101`; without SAMPLE,
    it lists the samples whose inputs are kept (`edge.inputs_kept`).

    The map covers one part of the input after the other with its mean and shows how the exit's score changes: where
    it grows less sure, it relies on what lies there; where it grows surer, that held the sample back.
    """
    from services.cli import explain_source
    from services.cli.views import explanation_view

    must_be_writable(json_path)
    must_be_writable(picture)
    must_be_drawable(picture)
    if worker is not None and (bundle is not None or exit_index is not None):
        fail("a worker explains by its own bundle, for the exit that decided; leave out --bundle and --exit")
    if worker is not None and sample is None:
        listed = explain_source.kept_at(worker)
        out.print(explanation_view.kept(listed))
        write_json(json_path, listed)
        return
    if sample is None:
        fail("which sample? DATASET:NUMBER, a picture or .npy file with --bundle, or --worker URL for a list")
    if worker is not None:
        found = explain_source.from_worker(worker, sample)
    else:
        found = explain_source.from_bundle(sample, bundle, split=split, exit_index=exit_index)
    out.print(explanation_view.view(found, colours=out.color_system is not None))
    write_json(json_path, found)
    if picture is not None:
        from services.cli.views import plots

        plots.draw_explanation(found, picture)
