"""One typed settings model for every process: a TOML file, the environment, and flags, the later over the former.

    settings = load(Path("dewpoint.toml"), {"edge": {"batch_max": 8}})

Environment variables are `DEWPOINT_SECTION__KEY`, as in `DEWPOINT_MQTT__HOST`; lists are JSON there. Secrets are never
values: a setting names the file that holds one.
"""

from services.settings.home_assistant import HomeAssistantSettings
from services.settings.inputs import FieldSettings, JoinSettings
from services.settings.model import CONFIG_VARIABLE, Settings, load
from services.settings.sections import (
    ConsoleSettings,
    LogSettings,
    MetricsSettings,
    MqttSettings,
    RedisSettings,
    SettingsError,
    SiteSettings,
    TlsSettings,
    TracesSettings,
)
from services.settings.workers import (
    AuditSettings,
    CloudSettings,
    ControlSettings,
    EdgeSettings,
    InputSettings,
    LimitSettings,
    NetworkSettings,
    WindowSettings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "AuditSettings",
    "CloudSettings",
    "ConsoleSettings",
    "ControlSettings",
    "EdgeSettings",
    "FieldSettings",
    "HomeAssistantSettings",
    "InputSettings",
    "JoinSettings",
    "LimitSettings",
    "LogSettings",
    "MetricsSettings",
    "MqttSettings",
    "NetworkSettings",
    "RedisSettings",
    "Settings",
    "SettingsError",
    "SiteSettings",
    "TlsSettings",
    "TracesSettings",
    "WindowSettings",
    "load",
]
