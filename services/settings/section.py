"""What every section of the settings is made of."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from hybrid_model.errors import DewpointError

__all__ = ["Name", "Port", "Section", "SettingsError"]

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(DewpointError):
    """A setting is wrong; the message is one line that says which, where and why."""


class Section(BaseModel):
    """Closed to unknown names, and not to be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)
