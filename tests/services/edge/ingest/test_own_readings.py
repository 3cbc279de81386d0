"""Own readings are cut for training as the edge cuts what a device sends: the same windows, to the bit."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hybrid_model import data
from hybrid_model.data.readings import OwnReadings, load_readings
from services.edge.ingest.decoding.sensor import decode_readings
from services.edge.ingest.windows import WindowAssembly
from services.edge.journal.samples import Journal
from services.edge.window import WindowRule
from services.messages import MessageError
from services.metrics import DeviceNames, EdgeMetrics
from tests.hybrid_model.data.readings.tables import several, write

pytest.importorskip("pyarrow")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as one:
        yield one


def sent(path: Path, own: OwnReadings, journal: Journal) -> list[bytes]:
    """The windows that an edge makes of a file's rows, each row a message of its device; those with one label."""
    form = own.form
    assembly = WindowAssembly(
        stored=journal.windows,
        rule=WindowRule(length=form.length, hop=form.hop, period_s=1.0 / form.rate_hz),
        metrics=EdgeMetrics(),
        devices=DeviceNames(10),
        channels=len(form.channels),
    )
    labels: dict[tuple[str, int], str] = {}
    windows = []
    with path.open() as file:
        for row in csv.DictReader(file):
            device, t = row[form.device or ""], float(row[form.time or ""])
            values = ",".join(row[name] or "null" for name in form.channels)
            payload = f'{{"t": {t!r}, "values": [{values}]}}'.encode()
            try:
                readings = decode_readings(payload, channels=len(form.channels), rate_hz=form.rate_hz, rows_max=4096)
            except MessageError:
                assembly.reset(device)
                continue
            labels.setdefault((device, round(t * 1e6)), row[form.label])
            for window in assembly.feed(device, readings, payload[:32]) or ():
                marks = window.first_mark + np.arange(form.length) * 1e6 / form.rate_hz
                seen = {labels.get((device, round(mark))) for mark in marks}
                if len(seen) == 1:
                    windows.append(window.rows.tobytes())
    return sorted(windows)


def trained(own: OwnReadings) -> list[bytes]:
    """All windows of all splits."""
    return sorted(x.tobytes() for split in data.SPLITS for x in own.dataset.split(split).x)


def test_readings_with_gaps_and_faults_make_the_same_windows(tmp_path: Path, journal: Journal) -> None:
    rows = several(6)
    rows[300][3] = ""  # the edge refuses it
    rows[900:1000] = []  # a gap
    rows.insert(2000, list(rows[1999]))  # a redelivery
    for row in rows[4000:4400]:
        row[1] = f"{float(row[1]) - 500:.4f}"  # a clock that was set back, and later forth
    path = write(tmp_path / "gym.csv", rows)
    own = load_readings(path)
    assert trained(own) == sent(path, own, journal)


@pytest.mark.data
def test_readings_of_people_make_the_same_windows(tmp_path: Path, journal: Journal) -> None:
    har = data.load("har")
    assert har.channels is not None
    assert har.test.segment is not None
    assert har.test.group is not None
    clock = dict.fromkeys(har.test.group.tolist(), 1_700_000_000.0)
    rows = []
    for segment in np.unique(har.test.segment)[::8]:
        windows = har.test.x[har.test.segment == segment, 0]
        person = int(har.test.group[har.test.segment == segment][0])
        label = har.classes[har.test.y[har.test.segment == segment][0]]
        for values in np.concatenate([windows[0], *windows[1:, 64:]]):
            rows.append([str(person), f"{clock[person]:.2f}", label, *(json.dumps(float(value)) for value in values)])
            clock[person] += 0.02
        clock[person] += 10
    path = write(tmp_path / "har.csv", rows, names=["subject", "time", "label", *har.channels])
    own = load_readings(path)
    assert (own.form.length, own.form.hop, own.form.rate_hz) == (128, 64, 50.0)
    assert len(trained(own)) > 300
    assert trained(own) == sent(path, own, journal)
