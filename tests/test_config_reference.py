from __future__ import annotations

from pathlib import Path

from rtmp_sync.config import Config
from rtmp_sync.config_reference import reference

DOCUMENT = Path(__file__).parent.parent / "docs" / "configuration.md"


def test_the_configuration_reference_is_current() -> None:
    assert DOCUMENT.read_text() == reference(), (
        "run `python -m rtmp_sync.config_reference > docs/configuration.md`"
    )


def test_every_key_is_described() -> None:
    for name, section in Config.model_fields.items():
        fields = getattr(section.annotation, "model_fields", {})
        for key, field in fields.items():
            assert field.description, f"{name}.{key}"
