"""All sections together, and how file, environment and flags become one of them."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SourceRefused

from services.settings.sections import (
    ConsoleSettings,
    LogSettings,
    MetricsSettings,
    MqttSettings,
    RedisSettings,
    SettingsError,
    SiteSettings,
    TracesSettings,
)
from services.settings.workers import CloudSettings, EdgeSettings, LimitSettings

__all__ = ["CONFIG_VARIABLE", "Settings", "load"]

CONFIG_VARIABLE = "DEWPOINT_CONFIG"


class Settings(BaseSettings):
    """Everything that can be set, by section. `load` reads file and environment; this class alone reads neither."""

    model_config = SettingsConfigDict(env_prefix="DEWPOINT_", env_nested_delimiter="__", extra="forbid", frozen=True)

    site: SiteSettings = Field(default_factory=SiteSettings)
    mqtt: MqttSettings = Field(default_factory=MqttSettings)
    redis: RedisSettings = Field(default_factory=RedisSettings)
    edge: EdgeSettings = Field(default_factory=EdgeSettings)
    cloud: CloudSettings = Field(default_factory=CloudSettings)
    metrics: MetricsSettings = Field(default_factory=MetricsSettings)
    console: ConsoleSettings = Field(default_factory=ConsoleSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    traces: TracesSettings = Field(default_factory=TracesSettings)
    log: LogSettings = Field(default_factory=LogSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is given: `load` puts file, environment and flags together."""
        return (init_settings,)


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process.

    Args:
        path: A TOML file; if none, the file that $DEWPOINT_CONFIG names; if that is unset, no file.
        overrides: Nested as the sections are, as in `{"mqtt": {"port": 1884}}`; entries of None are left out.

    Raises:
        SettingsError: for a file that cannot be read, an unknown key or a wrong value.
    """
    if path is None and os.environ.get(CONFIG_VARIABLE):
        path = Path(os.environ[CONFIG_VARIABLE])
    content = {} if path is None else _read(path)
    try:
        environment = EnvSettingsSource(Settings)()
        return Settings(**_merged(_merged(content, environment), overrides or {}))
    except ValidationError as error:
        raise SettingsError(_one_line(error, path)) from None
    except SourceRefused as error:
        raise SettingsError(f"settings in the environment: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"settings file {path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            below = result.get(key)
            result[key] = _merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def _one_line(error: ValidationError, path: Path | None) -> str:
    said = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":  # its value stays unsaid: it may be a password
            said.append(f"{where}: no such setting")
        else:
            value = f" (is {problem['input']!r})"[:120] if _shows(problem["input"]) else ""
            said.append(f"{where}: {problem['msg'].removeprefix('Value error, ')}{value}")
    source = "settings" if path is None else f"settings ({path} and environment)"
    return f"{source}: " + "; ".join(said).replace("\n", " ")


def _shows(value: object) -> bool:
    with_account = isinstance(value, str) and "://" in value and "@" in value
    return isinstance(value, str | int | float | bool) and not with_account
