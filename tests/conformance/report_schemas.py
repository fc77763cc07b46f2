"""Scans a repository made here and validates every file of the report against its published schema,
with a foreign validator (PyPI's jsonschema).

usage: report_schemas.py UNSPRAWL SCHEMA_FOLDER
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import jsonschema

FILES = {
    "incidents.jsonl": "incident.json",
    "occurrences.jsonl": "occurrence.json",
    "manifest.json": "manifest.json",
    "run.json": "run.json",
}


def make_repository(folder):
    def git(*arguments):
        subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True)

    os.makedirs(folder)
    git("init", "-q", "-b", "main")
    git("config", "user.name", "A U Thor")
    git("config", "user.email", "author@example.com")
    # Built from pieces, so that no scanner trips over this file.
    for name, text in {
        "a.env": "AK" + "IA" + "QZ7XN3WKMT5RVBC2" + "\n",
        "b.py": "password = '" + "vR7" + "qLw9Xz" + "T2m" + "'\n",
    }.items():
        pathlib.Path(folder, name).write_text(text)
        git("add", name)
        git("commit", "-q", "-m", name)
    git("rm", "-q", "a.env")
    git("commit", "-q", "-m", "remove")


def main():
    unsprawl, schemas = sys.argv[1:]
    with tempfile.TemporaryDirectory() as work:
        make_repository(work + "/repository")
        report = pathlib.Path(work, "report")
        scan = subprocess.run(
            [unsprawl, "scan", "-q", "--min-confidence=0", "--store=:memory:", "-o", report,
             "--key-file", work + "/key", work + "/repository"],
            capture_output=True, text=True, env=os.environ | {"HOME": work})
        assert scan.returncode == 1, scan.stderr
        for file, schema_file in FILES.items():
            schema = json.loads(pathlib.Path(schemas, schema_file).read_text())
            validator = jsonschema.validators.validator_for(schema)
            validator.check_schema(schema)
            text = (report / file).read_text()
            rows = text.splitlines() if file.endswith(".jsonl") else [text]
            assert rows, file
            for row in rows:
                validator(schema).validate(json.loads(row))


main()
