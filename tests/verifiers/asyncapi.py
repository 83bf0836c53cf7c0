"""The AsyncAPI description, judged by AsyncAPI's own JSON Schema (npm's @asyncapi/specs)."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs

from api.asyncapi.document import asyncapi_document
from api.asyncapi.routes import VERSION

Change = Callable[[dict[str, Any]], object]


def judged(folder: Path) -> dict[str, bool]:
    """Return what the schema says of the description, and of some that are wrong; `folder` has node_modules."""
    path = folder / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"
    validator = jsonschema_rs.validator_for(json.loads(path.read_text()))
    document = asyncapi_document(VERSION)
    return {"the description": validator.is_valid(document)} | {
        f"refused: {what}": not validator.is_valid(_changed(document, change)) for what, change in _WRONG.items()
    }


def _changed(document: dict[str, Any], change: Change) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    change(changed)
    return changed


_WRONG: dict[str, Change] = {
    "an action that there is not": lambda wrong: wrong["operations"]["sendWebhooks"].update(action="sends"),
    "Avro that is none": lambda wrong: wrong["components"]["schemas"]["user.created.avro"]["schema"].pop("fields"),
    "JSON Schema that is none": lambda wrong: wrong["components"]["schemas"]["user.created"].update(type="objec"),
    "a binding that there is not": lambda wrong: wrong["channels"]["events"]["bindings"]["kafka"].update(partition=1),
    "a message of too much": lambda wrong: wrong["components"]["messages"]["user.created.event"].update(more=1),
}
