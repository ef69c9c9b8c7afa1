"""Validates TOML files with a JSON Schema, by an implementation of its own.

validate.py SCHEMA FILE...: prints a JSON object with the mistakes of each file."""

import json
import sys
import tomllib

import jsonschema

schema, *files = sys.argv[1:]
with open(schema) as file:
    schema = json.load(file)
jsonschema.Draft7Validator.check_schema(schema)
validator = jsonschema.Draft7Validator(schema)
mistakes = {}
for name in files:
    with open(name, "rb") as file:
        document = tomllib.load(file)
    mistakes[name] = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
print(json.dumps(mistakes))
