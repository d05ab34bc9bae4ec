"""docs/configuration.md, generated from the fields of the configuration.

python -m rtmp_sync.config_reference > docs/configuration.md
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from rtmp_sync.cluster.timing import PROFILES
from rtmp_sync.config import Config
from rtmp_sync.config_apps import AppSection, RelaySection
from rtmp_sync.config_rules import TIMING_KEYS
from rtmp_sync.config_values import Address, ConfigPath, Network, NodeId, PeerAddress

__all__ = ["reference"]

_INTRODUCTION = """\
# Configuration

<!-- Generated from rtmp_sync/config_sections.py and config_apps.py: change the descriptions there,
     then run `rtmp-sync config reference > docs/configuration.md`. -->

One TOML file for each origin. A single origin needs only `node.id`. A pair also needs
`replication.peer`, `replication.secret_file`, `failover.pair_file` (or `etcd` with `nodes`),
`failover.peer_admin`, `admin.user` and `admin.password_file`, the last two the same on both
origins. There is no default secret and no default password.

`rtmp-sync config check --config FILE` tells what is wrong: one line each, with the key, its value
and what would be right. Unknown keys are errors. Relative paths count from the file's own folder.
Times are in seconds.

```toml
[node]
id = "A"

[replication]
peer = "10.0.0.2:1936"
secret_file = "secret"

[failover]
pair_file = "/nas/MainOriginConfig.txt"
peer_admin = "10.0.0.2:1112"

[admin]
user = "admin"
password_file = "admin.password"

[apps]
directory = "apps"
```
"""

_TYPE_NAMES: dict[object, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Address: "host:port",
    Path: "path",
    Any: "anything",
    RelaySection: "table",
}
_ANNOTATED_NAMES: dict[object, str] = {
    ConfigPath: "path",
    PeerAddress: "host:port",
    Network: "address or network",
    NodeId: "name",
}


def reference() -> str:
    """The whole document."""
    return "\n".join([_INTRODUCTION, *_sections()]) + "\n"


def _sections() -> Iterator[str]:
    for name, field in Config.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            yield from _section(name, model)
        else:
            yield f"## [{name}]\n\n{field.description}\n"
        if name == "apps":
            yield from _section("apps.NAME", AppSection)
            yield from _section("[apps.NAME.relays]", RelaySection)


def _section(name: str, model: type[BaseModel]) -> Iterator[str]:
    yield f"## [{name}]\n\n{model.__doc__}\n"
    yield "| key | value | default | meaning |\n| --- | --- | --- | --- |"
    for key, field in model.model_fields.items():
        meaning = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{key}` | {_type_name(field)} | {_default(name, key, field)} | {meaning} |"
    yield ""


def _type_name(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if field.metadata and annotation is not None:
        annotation = Annotated[(annotation, *field.metadata)]
    return _named(annotation)


def _named(annotation: Any) -> str:
    """What one writes into the file for a value of this type."""
    if annotation in _ANNOTATED_NAMES:
        return _ANNOTATED_NAMES[annotation]
    if annotation in _TYPE_NAMES:
        return _TYPE_NAMES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _named(arguments[0])
    if origin is Literal:
        return " or ".join(f'`"{value}"`' for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(_named(one) for one in arguments if one is not types.NoneType)
    if origin is list:
        return f"list of {_named(arguments[0])}"
    if origin is dict:
        return f"table of {_named(arguments[1])}"
    raise TypeError(f"no name for {annotation!r}")


def _default(section: str, key: str, field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    in_profile = (section == "failover" and key in TIMING_KEYS) or key == "ack_timeout"
    if in_profile:
        default, fast = (getattr(PROFILES[name], key) for name in ("default", "fast"))
        return f"{default:g}" if default == fast else f"{default:g} (fast: {fast:g})"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ("", [], {}):
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float | int):
        return f"{value:g}" if isinstance(value, float) else f"{value}"
    if isinstance(value, list):
        return f"`{json.dumps(value)}`"
    return f'`"{value}"`'


if __name__ == "__main__":
    print(reference(), end="")
