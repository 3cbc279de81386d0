"""(f) Joint inference as KubeEdge Sedna does it: the large network behind FastAPI, run by `uvicorn`."""

from __future__ import annotations

from typing import Any

import numpy as np
from fastapi import FastAPI

from benchmarks.pipeline.alternatives.broker import Site
from benchmarks.pipeline.alternatives.models import WholeNetwork

app = FastAPI()
_network = WholeNetwork(Site.told().net)


@app.post("/infer")
async def infer(body: dict[str, Any]) -> dict[str, int]:
    """One sample: nested lists of pixels."""
    return {"result": _network.answer(np.asarray(body["data"], dtype=np.uint8)[None])[0]}
