"""The API's description, and the page that shows it to people: both made from the code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from bergen_loop import __version__
from bergen_loop.console.access import ROLES
from bergen_loop.console.api.models import TIME_EXAMPLE
from bergen_loop.console.problems import MEDIA_TYPE, REFERENCE, Code, Problem
from bergen_loop.console.state import console_of
from bergen_loop.console.templating import page
from bergen_loop.console.words import plain

JSON = "application/json"
SCHEMAS = "#/components/schemas/"

Schema = dict[str, Any]

router = APIRouter()


# -- the description ----------------------------------------------------------------------------


def describe(app: FastAPI) -> None:
    """Have the app describe its API, with an example of everything."""

    @cache
    def made() -> Schema:
        described = get_openapi(
            title="bergen-loop", version=__version__, routes=app.routes, summary="Returns, and "
            "what needs a person, for programs of a brand or of Bergen's",
        )  # fmt: skip
        schemas: dict[str, Schema] = described["components"]["schemas"]
        problem = Problem.model_json_schema(ref_template=SCHEMAS + "{model}")
        schemas |= problem.pop("$defs")
        schemas["Problem"] = problem
        for unused in ("HTTPValidationError", "ValidationError"):
            schemas.pop(unused, None)
        for content in _contents(described):
            content["example"] = example(content["schema"], schemas)
        return described

    app.openapi = made


def _contents(described: Schema) -> Iterator[Schema]:
    """Every body that is sent or answered, with its schema."""
    for operation in _operations(described):
        bodies = [operation.what.get("requestBody", {})]
        bodies += operation.what["responses"].values()
        for body in bodies:
            for kind in (JSON, MEDIA_TYPE):
                content = body.get("content", {}).get(kind)
                if content and content["schema"].get("$ref") != f"{SCHEMAS}Problem":
                    yield content


def example(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """A value that fits a schema: the examples of its fields, put together."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example(schemas[schema["$ref"].removeprefix(SCHEMAS)], schemas)
    for several in ("anyOf", "allOf"):
        if several in schema:
            return example(schema[several][0], schemas)
    fixed = next((schema[k] for k in ("const", "default") if k in schema), None)
    if fixed is not None:
        return fixed
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("format") == "date-time":
        return TIME_EXAMPLE
    if schema.get("type") == "array":
        return [example(schema["items"], schemas)]
    if schema.get("type") == "object":
        fields = cast("dict[str, Schema]", schema.get("properties", {}))
        return {name: example(one, schemas) for name, one in fields.items()}
    return {"string": "", "integer": 1, "number": 1.0, "boolean": True}.get(schema["type"])


# -- the page -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Operation:
    """A call, as the description has it."""

    method: str
    path: str
    what: Schema

    @property
    def anchor(self) -> str:
        """Where it stands on the page."""
        return str(self.what["operationId"])

    @property
    def parameters(self) -> list[Schema]:
        """What it is asked with, besides its body."""
        return self.what.get("parameters", [])

    @property
    def body(self) -> str:
        """An example of its body; empty for none."""
        content = self.what.get("requestBody", {}).get("content", {}).get(JSON)
        return _written(content["example"]) if content else ""

    @property
    def answer(self) -> str:
        """An example of its answer."""
        return _written(self.what["responses"]["200"]["content"][JSON]["example"])

    def call(self, address: str) -> str:
        """The call by curl, with the examples of what must be given."""
        filled, query = self.path, list[str]()
        lines = ['-H "Authorization: Bearer $TOKEN"']
        for one in self.parameters:
            given = str(one.get("example", one["schema"].get("examples", [""])[0]))
            if one["in"] == "path":
                filled = filled.replace("{" + one["name"] + "}", given)
            elif one["in"] == "query" and one.get("required"):
                query.append(f'--get --data-urlencode "{one["name"]}={given}"')
            elif one["in"] == "header":
                lines.append(f'-H "{one["name"]}: {_schema_example(one)}"')
        if self.body:
            compact = json.dumps(json.loads(self.body)).replace("'", "'\\''")
            lines += ['-H "Content-Type: application/json"', f"-d '{compact}'"]
        method = "" if self.method == "GET" else f"-X {self.method} "
        return " \\\n  ".join([f'curl {method}"{address}{filled}"', *lines, *query])


def _schema_example(parameter: Schema) -> str:
    schema = parameter["schema"]
    kinds = [schema, *schema.get("anyOf", [])]
    return str(next(k["examples"][0] for k in kinds if "examples" in k))


def _written(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _operations(described: Schema) -> Iterator[Operation]:
    for path, methods in described["paths"].items():
        if path.startswith("/api/v1/"):
            for method, what in methods.items():
                yield Operation(method.upper(), path, what)


def kind_of(schema: Schema) -> str:
    """A parameter's type, for people."""
    if "anyOf" in schema:
        return kind_of(next(s for s in schema["anyOf"] if s.get("type") != "null"))
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "$ref" in schema:
        return schema["$ref"].removeprefix(SCHEMAS)
    return str(schema.get("format", schema.get("type", "")))


@router.get(REFERENCE, response_class=HTMLResponse)
def reference(request: Request) -> HTMLResponse:
    """Every call, with examples; the refusals; the roles. Open to anybody, as the description."""
    described: Schema = request.app.openapi()
    schemas = described["components"]["schemas"]
    return page(
        request,
        "reference.html",
        operations=list(_operations(described)),
        schemas=schemas,
        address=console_of(request).address,
        codes=list(Code),
        problem=_written(
            example({"$ref": f"{SCHEMAS}Problem"}, described["components"]["schemas"])
        ),
        limit=console_of(request).registry.settings.service.api.calls_per_minute,
        kind=kind_of,
        roles=[(plain(role), words) for role, words in ROLES.items()],
    )
