"""The JSON schema of a policy file."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import PydanticOmit, to_jsonable_python

from ..config import Part


class _FileSchema(GenerateJsonSchema):
    """The schema of what a file can say: functions are left out, error classes have their names."""

    def encode_default(self, dft: Any) -> Any:
        if isinstance(dft, Part):  # its own defaults stand where it is described
            return dft.model_dump(mode="json", exclude_defaults=True)
        return to_jsonable_python(dft, fallback=lambda error: error.__name__)

    def callable_schema(self, schema: Any) -> Any:
        raise PydanticOmit

    def tagged_union_schema(self, schema: Any) -> Any:
        """Any and not one of them, since a file need not say the tag."""
        found = super().tagged_union_schema(schema)
        found.pop("discriminator", None)
        found["anyOf"] = found.pop("oneOf")
        return found


def json_schema(model: type[Part]) -> dict[str, Any]:
    """The JSON schema of a file with the parts of a model, each of which may also be switched by a word."""
    schema = model.model_json_schema(schema_generator=_FileSchema)
    for found in schema["properties"].values():
        if {"type": "null"} in found.get("anyOf", ()):
            found["anyOf"].append({"enum": [True, False, "on", "off"]})
    return schema
