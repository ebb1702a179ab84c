# SPDX-License-Identifier: Apache-2.0
"""Finds a plugin by name or path, and the component a check configures."""
import json
import os
import string

import yaml

HERE = os.path.dirname(os.path.abspath(__file__))


class Manifest:
    def __init__(self, path):
        self.dir = os.path.dirname(os.path.abspath(path))
        with open(path, encoding="utf-8") as f:
            document = yaml.safe_load(f)
        self.name = document["name"]
        self.version = str(document["version"])
        self.exec = os.path.join(self.dir, document["exec"])
        self.types = {entry["type"]: [str(v) for v in entry["versions"]] for entry in document["types"]}
        self.replace = {entry["type"]: entry.get("replace", "overlap") for entry in document["types"]}
        self.token_in_environment = document.get("token") == "env"

    def row_of(self, type_):
        """The type as the manifest has it: itself, or `state.*` for any of its kind."""
        return type_ if type_ in self.types else type_.split(".")[0] + ".*"


def find(build, plugin):
    for path in (plugin, os.path.join(plugin, "plugin.yaml"), os.path.join(os.path.dirname(plugin), "plugin.yaml"),
                 os.path.join(build, "plugins", plugin, "plugin.yaml"),
                 os.path.join(build, "tests", "plugins", plugin, "plugin.yaml"),
                 os.path.join(HERE, plugin, "plugin.yaml")):
        if path.endswith(".yaml") and os.path.isfile(path):
            return Manifest(path)
    raise SystemExit(f"conform: no plugin.yaml for {plugin}")


def nested(pairs):
    """The members of a resolver's configuration: a JSON text stands for what it says."""
    def value_of(text):
        try:
            return json.loads(text)
        except ValueError:
            return text
    return {name: value_of(value) for name, value in pairs}


def component_metadata(manifest, type_, given, directory):
    """Pairs for InitRequest: what the command line gave, else components/<type>.yaml, for a resolver a Configuration.
    ${DIR} is a fresh directory, ${NONCE} its name alone."""
    path = os.path.join(HERE, "components", type_ + ".yaml")
    pairs = []
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as f:
            document = yaml.safe_load(f)
        if document["kind"] == "Configuration":
            settings = document["spec"]["nameResolution"].get("configuration") or {}
            pairs = [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in settings.items()]
        else:
            pairs = [(m["name"], str(m["value"])) for m in document["spec"].get("metadata") or []]
    pairs = [p for p in pairs if p[0] not in dict(given)] + given
    words = dict(os.environ, DIR=directory, NONCE=os.path.basename(directory))
    return [(name, string.Template(value).safe_substitute(words)) for name, value in pairs]
