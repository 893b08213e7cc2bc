#!/usr/bin/env python3
"""Checks OCSF events, one a line, against the released schemas: class, version and profiles of each.

    pip install ocsf-json-schema==1.2.0 jsonschema
    ONRECORD_OCSF_OUT=/tmp/events.ndjson cargo test --lib format::ocsf
    python3 tests/ocsf/check.py /tmp/events.ndjson [N]

With N, of the events with profiles only each Nth is looked at; of those without, always all: every row of
every catalogue, every end of an exchange, both classes, both versions.
"""

import collections
import functools
import json
import sys

from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

raw = functools.cache(lambda version: get_ocsf_schema(version=version))


@functools.cache
def validator(version, class_uid, profiles):
    schema = OcsfJsonSchemaEmbedded(raw(version))
    name = schema.lookup_class_name_from_uid(class_uid=class_uid)
    foreign = set(profiles) - set(raw(version)["classes"][name]["profiles"])
    return Draft202012Validator(schema.get_class_schema(class_name=name, profiles=list(profiles))), foreign


def errors(event):
    metadata = event["metadata"]
    check, foreign = validator(metadata["version"], event["class_uid"], tuple(metadata.get("profiles", ())))
    found = ["/".join(map(str, e.absolute_path)) + ": " + e.message[:200] for e in check.iter_errors(event)]
    found += [f"profile not allowed: {name}" for name in sorted(foreign)]
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        found.append("type_uid")
    return found


def main(path, each=1):
    seen, bad = collections.Counter(), 0
    with open(path) as lines:
        for number, line in enumerate(lines, 1):
            if number % each and '"profiles":[]' not in line:
                continue
            event = json.loads(line)
            found = errors(event)
            seen[event["metadata"]["version"], event["class_uid"], tuple(event["metadata"]["profiles"])] += 1
            if found:
                bad += 1
                print(number, found)
    for key, count in sorted(seen.items()):
        print(*key, count)
    print(f"{sum(seen.values())} events, {bad} with errors")
    return bad > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
