"""Configuration: what can be set, where it is read from, and how it is checked."""

from trigger_engine.config.loading import Config, check_shared, load_config
from trigger_engine.config.settings import Settings

__all__ = ["Config", "Settings", "check_shared", "load_config"]
