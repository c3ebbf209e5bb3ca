"""Renders the Helm chart, for the checks beside this file."""

import copy
import shutil
import subprocess
import tempfile
from pathlib import Path

import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/offsite"
HERE = ROOT / "dev/deploy/helm"
HELM = ROOT / "target/tools/bin/helm"
OFFSITE = ROOT / "target/debug/offsite"
RELEASE = "my-release"
NAMESPACE = "backups"
# The oldest version the chart allows, the one in which podFailurePolicy became stable, the newest there is a schema of.
KUBERNETES = ["1.27", "1.31", kubernetes_validate.latest_version()]

def helm(*arguments, values=None):
    """Runs helm; gives its exit code and what it wrote."""
    command = [HELM, *arguments]
    if values is not None:
        command += ["--values", "-"]
    text = None if values is None else yaml.safe_dump(values)
    done = subprocess.run(command, input=text, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def render(values, *arguments, version=KUBERNETES[-1], release=RELEASE, namespace=NAMESPACE):
    """The manifests of these values, by kind and component."""
    code, output = helm(
        "template", release, CHART, "--namespace", namespace, "--kube-version", version, *arguments, values=values
    )
    assert code == 0, output
    manifests = {}
    for manifest in yaml.safe_load_all(output):
        name = manifest["metadata"]["labels"].get("app.kubernetes.io/component")
        key = " ".join(filter(None, [manifest["kind"], name]))
        assert key not in manifests, f"two of {key}"
        manifests[key] = manifest
    return manifests


def load(path):
    return yaml.safe_load(path.read_text())


def cases():
    return {path.stem: load(path) for path in sorted((HERE / "cases").glob("*.yaml"))}


def job_specs(manifests):
    """The Job specifications among manifests, by kind and component."""
    for key, manifest in manifests.items():
        if manifest["kind"] == "CronJob":
            yield key, manifest["spec"]["jobTemplate"]["spec"]
        elif manifest["kind"] == "Job":
            yield key, manifest["spec"]


def pod_of(manifest):
    (_, spec), = job_specs({"": manifest})
    return spec["template"]["spec"]


def container_of(manifest):
    (container,) = pod_of(manifest)["containers"]
    return container


def merged(values):
    """Values over the chart's defaults, as Helm merges them."""

    def merge(base, over):
        for key, value in over.items():
            if isinstance(value, dict) and isinstance(base.get(key), dict):
                merge(base[key], value)
            else:
                base[key] = value
        return base

    return merge(load(CHART / "values.yaml"), copy.deepcopy(values))


def environment_of(manifests, container):
    """The variables of a container, as far as they are known here: those of rendered ConfigMaps, and its own over them."""
    made = {m["metadata"]["name"]: m["data"] for m in manifests.values() if m["kind"] == "ConfigMap"}
    environment = {}
    for source in container.get("envFrom", []):
        environment |= made.get(source.get("configMapRef", {}).get("name"), {})
    return environment | {e["name"]: e["value"] for e in container["env"] if "value" in e}


def notes(values, *arguments):
    """What Helm says after it has installed these values. It shows that of nothing else, so it is rendered as a manifest."""
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(shutil.copytree(CHART, Path(folder, "offsite")))
        shutil.copy(chart / "templates/NOTES.txt", chart / "notes")
        (chart / "templates/notes.yaml").write_text('notes: {{ tpl (.Files.Get "notes") . | toJson }}\n')
        code, output = helm(
            "template", RELEASE, chart, "--namespace", NAMESPACE, "--show-only", "templates/notes.yaml", *arguments, values=values
        )
        assert code == 0, output
    return yaml.safe_load(output)["notes"]
