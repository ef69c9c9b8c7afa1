"""Installs the chart as Helm does, short of a cluster, and has Kubernetes' own schemas judge what would be created.

helm.py CHART [KUBERNETES-VERSION…] <VALUES.json >OBJECTS.json

Helm is its Go library (helm-python-sdk). Exits 1 with Helm's or the schemas' words.
"""

import json
import sys

import helm_python
import kubernetes_validate
import yaml

# What the schemas, which are Kubernetes' own, know nothing of.
CUSTOM = {"monitoring.coreos.com/v1"}


def objects(chart, values):
    report = helm_python.lint(chart, values, strict=True)
    said = [message["error"] for message in report["messages"] if message["severity"] > 1] + report["errors"]
    if said:
        raise helm_python.HelmError("\n".join(str(line) for line in said))
    with helm_python.Config(namespace="plant", storage_driver="memory", kube_apiserver="http://127.0.0.1:9") as config:
        release = config.install(chart, "line", values, dry_run="client")
    return [found for found in yaml.safe_load_all(release["manifest"]) if found]


def main():
    chart, versions = sys.argv[1], sys.argv[2:]
    try:
        found = objects(chart, json.load(sys.stdin))
        for version in versions:
            for one in found:
                if one["apiVersion"] not in CUSTOM:
                    kubernetes_validate.validate(one, version, strict=True)
    except (helm_python.HelmError, kubernetes_validate.ValidationError) as error:
        sys.exit(str(error))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
