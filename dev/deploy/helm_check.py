"""Checks the Helm chart. Started by `dev/deploy/helm-check`, which says what it needs.

`cases/*.yaml` are values the chart takes, `refused.yaml` values it refuses and what it says then. Everything that
the cases make it render is validated against the schemas of Kubernetes, and looked at for what schemas cannot say.
helm_store_check.py looks at where backups go, and runs what would run.
"""

import copy
import functools
import re
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import kubernetes_validate
import kubernetes_validate.utils
import promql_parser
import yaml

import helm_store_check
from helm_render import (
    CHART,
    HERE,
    KUBERNETES,
    OFFSITE,
    ROOT,
    cases,
    container_of,
    environment_of,
    helm,
    job_specs,
    load,
    merged,
    notes,
    pod_of,
    render,
)

# Each call reads a file of megabytes.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


# What schemas say.


def test_lint_finds_nothing():
    for name, values in cases().items():
        code, output = helm("lint", CHART, "--strict", "--kube-version", KUBERNETES[-1], values=values)
        assert code == 0 and "[WARNING]" not in output and "[ERROR]" not in output, f"{name}: {output}"


def test_every_render_satisfies_the_schemas_of_kubernetes():
    for name, values in cases().items():
        for version in KUBERNETES:
            for key, manifest in render(values, version=version).items():
                if key == "PrometheusRule":
                    continue
                if version < "1.29":
                    # Its schema demands what it does not want (kubernetes/kubernetes#120204).
                    for _, spec in job_specs({key: manifest}):
                        for rule in spec["podFailurePolicy"]["rules"]:
                            rule.setdefault("onPodConditions", [])
                try:
                    used = kubernetes_validate.validate(manifest, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    where = ".".join(map(str, error.path))
                    raise AssertionError(f"{name}, Kubernetes {version}, {key}: {where}: {error.message}") from None
                assert version.startswith(used), f"there are no schemas of Kubernetes {version}"


def test_an_older_kubernetes_is_refused():
    code, output = helm("template", CHART, "--kube-version", "1.26", values=cases()["least"])
    assert code != 0 and "kubeVersion: >=1.27" in output, output


def test_values_that_are_wrong_are_refused_by_name():
    least = cases()["least"]
    for case in load(HERE / "refused.yaml"):
        values = copy.deepcopy(least)
        values.update(case["values"])
        code, output = helm("template", CHART, "--kube-version", KUBERNETES[-1], values=values)
        assert code != 0, f"was taken: {case['values']}"
        assert case["says"] in output, f"{case['values']} says: {output}"


def leaves(values, path=()):
    """Paths of all values that are not mappings with members."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, (*path, key))
        else:
            yield (*path, key), value


def test_every_value_is_set_by_some_case_and_every_object_refuses_unknown_ones():
    default = load(CHART / "values.yaml")
    unset = []
    refused = [case["values"] for case in load(HERE / "refused.yaml")]
    for path, value in leaves(default):
        def of(values):
            for key in path:
                values = values.get(key) if isinstance(values, dict) else None
            return values

        if not any(of(case) not in (None, value) for case in cases().values()):
            unset.append(".".join(path))
    assert not unset, f"no case sets {unset}"
    objects = {path[:-1] for path, _ in leaves(default)}
    for path in objects - {("credentials", "keys"), ("resources", "requests"), ("resources", "limits")}:
        values = cases()["least"]
        inner = values
        for key in path:
            inner = inner.setdefault(key, {})
        inner["unknown"] = 1
        code, output = helm("template", CHART, "--kube-version", KUBERNETES[-1], values=values)
        where = "/".join(["", *path])
        assert code != 0 and f"at '{where}': additional properties 'unknown' not allowed" in output, (where, output)


# What they do not say.


def test_the_configuration_is_the_one_given():
    for name, values in cases().items():
        text = render(values)["ConfigMap"]["data"]["backup_config.yaml"]
        given = values["config"]
        if isinstance(given, str):
            assert text.strip("\n") == given.strip("\n"), f"{name}: {text}"
        else:
            assert yaml.safe_load(text) == given, f"{name}: {text}"


def test_the_annotated_configuration_goes_in_as_it_is():
    text = (ROOT / "backup_config.yaml").read_text()
    mounts = [{"name": "data", "claimName": "a", "mountPath": "/data"}, {"name": "logs", "claimName": "b", "mountPath": "/logs"}]
    manifests = render(
        cases()["least"] | {"volumes": mounts}, "--set-file", f"config={ROOT / 'backup_config.yaml'}"
    )
    assert manifests["ConfigMap"]["data"]["backup_config.yaml"].strip() == text.strip()


def test_the_program_takes_every_configuration():
    for name, values in cases().items():
        manifests = render(values)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "backup_config.yaml")
            file.write_text(manifests["ConfigMap"]["data"]["backup_config.yaml"])
            container = container_of(manifests["CronJob backup"])
            environment = environment_of(manifests, container) | {"BACKUP_CONFIG_PATH": str(file)}
            done = subprocess.run([OFFSITE, "config", *container["args"][1:]], env=environment, capture_output=True, text=True)
            assert done.returncode == 0, f"{name}: {done.stderr}"


def test_pods_read_the_configuration_and_start_anew_when_it_changes():
    for name, values in cases().items():
        manifests = render(values)
        text = manifests["ConfigMap"]["data"]["backup_config.yaml"]
        other = copy.deepcopy(values)
        other["config"] = yaml.safe_load(text) | {"x": 1}
        changed = dict(job_specs(render(other)))
        for key, spec in job_specs(manifests):
            pod = spec["template"]["spec"]
            container = pod["containers"][0]
            assert {"name": "BACKUP_CONFIG_PATH", "value": "/etc/offsite/backup_config.yaml"} in container["env"]
            (mount,) = [m for m in container["volumeMounts"] if m["mountPath"] == "/etc/offsite"]
            (volume,) = [v for v in pod["volumes"] if v["name"] == mount["name"]]
            assert mount["readOnly"] and volume["configMap"] == {"name": manifests["ConfigMap"]["metadata"]["name"]}
            sums = [s["template"]["metadata"]["annotations"]["checksum/config"] for s in (spec, changed[key])]
            assert sums[0] != sums[1], f"{name}: {key}"


def test_claims_are_mounted_as_given_and_read_only_unless_said_otherwise():
    for name, values in cases().items():
        pod = pod_of(render(values)["CronJob backup"])
        mounts = {m["name"]: m for m in pod["containers"][0]["volumeMounts"]}
        volumes = {v["name"]: v for v in pod["volumes"]}
        for volume in values.get("volumes", []):
            mount = mounts[volume["name"]]
            assert mount["readOnly"] is volume.get("readOnly", True), f"{name}: {mount}"
            assert mount["mountPath"] == volume["mountPath"] and mount.get("subPath") == volume.get("subPath"), mount
            assert volumes[volume["name"]]["persistentVolumeClaim"] == {"claimName": volume["claimName"]}
        others = {"offsite-config", *(v["name"] for v in values.get("extraVolumes", []))}
        assert volumes.keys() - others == {v["name"] for v in values.get("volumes", [])}, name


def test_only_the_restore_can_write_and_only_to_its_target():
    for name in ("everything", "restore-at"):
        values = cases()[name]
        manifests = render(values)
        container = container_of(manifests["Job restore"])
        (target,) = [m for m in container["volumeMounts"] if m["mountPath"] == "/restore"]
        assert target["readOnly"] is values["restore"].get("dryRun", False)
        assert container["args"][:3] == ["restore", "--to", target["mountPath"]]
        claims = {v["persistentVolumeClaim"]["claimName"] for v in pod_of(manifests["Job restore"])["volumes"] if "persistentVolumeClaim" in v}
        assert claims == {values["restore"]["claimName"]}
        for key in manifests.keys() & {"CronJob prune", "CronJob verify"}:
            assert not any("persistentVolumeClaim" in v for v in pod_of(manifests[key])["volumes"]), key


def test_pods_are_restricted_by_default():
    """What the Pod Security Standard `restricted` demands, and a read-only root."""
    values = cases()["least"] | {
        "verify": {"enabled": True}, "restore": {"enabled": True, "claimName": "x"},
        "prune": {"enabled": True}, "env": [{"name": "BACKUP_RETENTION_DAYS", "value": "30"}],
    }
    specs = dict(job_specs(render(values)))
    assert specs.keys() == {"CronJob backup", "CronJob prune", "CronJob verify", "Job restore"}
    for key, spec in specs.items():
        pod = spec["template"]["spec"]
        container = pod["containers"][0]
        assert pod["securityContext"] == {
            "runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        }, key
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }, key
        assert pod["automountServiceAccountToken"] is False and container["resources"]["limits"]["memory"], key


def test_root_is_asked_for_one_by_one():
    least = cases()["least"]
    restore = {"enabled": True, "claimName": "x"}
    manifests = render(least | {"runAsRoot": True, "restore": restore})
    backup, other = manifests["CronJob backup"], manifests["Job restore"]
    assert pod_of(backup)["securityContext"]["runAsUser"] == 0
    assert pod_of(backup)["securityContext"]["runAsNonRoot"] is False
    assert container_of(backup)["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["DAC_READ_SEARCH"]}
    assert pod_of(other)["securityContext"]["runAsUser"] == 65532
    manifests = render(least | {"restore": restore | {"runAsRoot": True}})
    backup, other = manifests["CronJob backup"], manifests["Job restore"]
    assert pod_of(backup)["securityContext"]["runAsUser"] == 65532
    assert pod_of(other)["securityContext"]["runAsUser"] == 0
    assert container_of(other)["securityContext"]["capabilities"]["add"] == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID"]
    everything = render(cases()["everything"])["CronJob backup"]
    assert "seccompProfile" not in pod_of(everything)["securityContext"], "null takes it out"
    assert container_of(everything)["securityContext"]["capabilities"]["add"] == ["DAC_OVERRIDE"]


def test_every_exit_code_is_decided_on():
    """docs/EXIT-CODES.md has all codes; each failure has one rule."""
    table = re.findall(r"^\| (\d+) \|", (ROOT / "docs/EXIT-CODES.md").read_text(), re.M)
    documented = {int(code) for code in table} - {0}
    assert len(documented) > 8, "the table of exit codes was not found"
    for name, values in cases().items():
        for key, spec in job_specs(render(values)):
            rules = spec["podFailurePolicy"]["rules"]
            assert rules[0] == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}, name
            codes = {rule["action"]: rule["onExitCodes"] for rule in rules[1:]}
            assert len(codes) == len(rules) - 1, f"{name}: {key}"
            assert {r["containerName"] for r in codes.values()} == {spec["template"]["spec"]["containers"][0]["name"]}
            # Only 3 fails a backup for a reason other than that no try is left: the alerts rest on it.
            at_once = [3] if key == "CronJob backup" else [2, 3, 4, 10, 11, 12]
            assert codes["FailJob"]["values"] == at_once, f"{name}: {key}"
            decided = sorted(code for rule in codes.values() for code in rule["values"])
            assert decided == sorted(documented), f"{name}, {key}: decided on {decided}, documented {sorted(documented)}"
            assert spec["template"]["spec"]["restartPolicy"] == "Never"


def test_a_killed_pass_has_time_to_release_its_lock_and_its_retry_to_wait_for_it():
    manifests = render(cases()["least"])
    grace = re.search(r"GRACE: Duration = Duration::from_secs\((\d+)\)", (ROOT / "src/signal.rs").read_text())
    # As much again for what comes after: segments, the release.
    assert pod_of(manifests["CronJob backup"])["terminationGracePeriodSeconds"] >= 2 * int(grace[1])
    ttl = re.search(r"`backup.lock.ttl_seconds` \| (\d+) ", (ROOT / "docs/CONFIGURATION.md").read_text())
    args = container_of(manifests["CronJob backup"])["args"]
    assert args[:2] == ["run", "--wait-for-lock"] and 60 * int(args[2].removesuffix("m")) > int(ttl[1])


def test_schedules_do_not_overlap_by_default_and_end():
    spec = render(cases()["least"])["CronJob backup"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid" and spec["startingDeadlineSeconds"] == 3600
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] < 24 * 3600


def test_names_fit():
    """52 characters for a CronJob, 63 for a Job, whatever the release is called."""
    values = cases()["everything"] | {"fullnameOverride": ""}
    for release in ("a" * 53, "offsite", "a-" * 26 + "a"):
        code, output = helm("template", release, CHART, "--kube-version", KUBERNETES[-1], values=values)
        assert code == 0, output
        for manifest in yaml.safe_load_all(output):
            name = manifest["metadata"]["name"]
            assert len(name) <= (52 if manifest["kind"] == "CronJob" else 63), name
            assert re.fullmatch("[a-z0-9]([a-z0-9-]*[a-z0-9])?", name), name


def test_selectors_find_the_pods():
    for name, values in cases().items():
        manifests = render(values)
        if "NetworkPolicy" in manifests:
            wanted = manifests["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items()
            for key, spec in job_specs(manifests):
                assert wanted <= spec["template"]["metadata"]["labels"].items(), f"{name}: {key}"


def test_the_service_account_is_the_one_that_is_made():
    for name, values in cases().items():
        manifests = render(values)
        account = merged(values)["serviceAccount"]
        used = {spec["template"]["spec"]["serviceAccountName"] for key, spec in job_specs(manifests) if key != "CronJob prune"}
        if account["create"]:
            made = manifests["ServiceAccount"]
            assert used == {made["metadata"]["name"]} and made["automountServiceAccountToken"] is False
            assert made["metadata"].get("annotations", {}) == account["annotations"]
        else:
            assert "ServiceAccount" not in manifests and used == {account["name"] or "default"}, name


def test_prune_has_an_account_of_its_own_and_what_it_needs():
    for name, values in cases().items():
        manifests = render(values)
        prune, own = merged(values)["prune"], manifests.get("ServiceAccount prune")
        assert ("CronJob prune" in manifests) is prune["enabled"], name
        assert (own is not None) is (prune["enabled"] and prune["serviceAccount"]["create"]), name
        if not prune["enabled"]:
            continue
        pod, backup = pod_of(manifests["CronJob prune"]), pod_of(manifests["CronJob backup"])
        if own:
            assert pod["serviceAccountName"] == own["metadata"]["name"] != backup["serviceAccountName"], name
            assert own["automountServiceAccountToken"] is False
            assert own["metadata"].get("annotations", {}) == prune["serviceAccount"]["annotations"]
        else:
            assert pod["serviceAccountName"] == backup["serviceAccountName"], name
        (container,) = pod["containers"]
        wait = ["--wait-for-lock", prune["waitForLock"]] if prune["waitForLock"] else []
        assert container["args"] == ["prune", *wait, *prune["extraArgs"]], name
        assert container["resources"] == (prune["resources"] or backup["containers"][0]["resources"]), name
    # It writes the files of a store in a directory as the user that made them.
    directory = render(cases()["directory"])
    assert pod_of(directory["CronJob prune"])["securityContext"]["runAsUser"] == 0
    account = render(cases()["directory"] | {"serviceAccount": {"name": "a"}})["ServiceAccount prune"]
    assert account["metadata"]["name"] == "my-release-offsite-prune", account


def test_credentials_come_from_the_secret():
    container = container_of(render(cases()["everything"])["CronJob backup"])
    references = {e["name"]: e["valueFrom"]["secretKeyRef"] for e in container["env"] if "secretKeyRef" in e.get("valueFrom", {})}
    assert references == {
        "AWS_ACCESS_KEY_ID": {"name": "s3-credentials", "key": "id"},
        "AWS_SECRET_ACCESS_KEY": {"name": "s3-credentials", "key": "secret"},
        "API_KEYS": {"name": "s3-credentials", "key": "bundle.json"},
    }
    assert not any("secretKeyRef" in str(e) for e in container_of(render(cases()["least"])["CronJob backup"])["env"])


def test_a_digest_pins_the_image():
    image = container_of(render(cases()["everything"])["CronJob backup"])["image"]
    assert image == "registry.example.com:5000/team/offsite:0.2.0@sha256:" + "0123456789abcdef" * 4
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.M)[1]
    assert container_of(render(cases()["least"])["CronJob backup"])["image"].endswith(f":{version}")


def test_a_restore_that_is_another_has_another_name():
    least = cases()["least"]

    def name(restore, **values):
        restore = {"enabled": True, "claimName": "x"} | restore
        return render(least | values | {"restore": restore})["Job restore"]["metadata"]["name"]

    plain, overwriting = {}, {"overwrite": True}
    image = {"image": {"repository": "registry.example.com/offsite", "tag": "2"}}
    assert name(plain) == name(plain)
    assert name(plain) != name({"source": "a"}) and name(overwriting) != name({"source": "a"} | overwriting)
    assert name(plain) != name(plain, **image), "a Job cannot be changed"
    assert name(overwriting) == name(overwriting, **image), "what overwrites is not repeated for another reason"
    job = render(least | {"restore": {"enabled": True, "claimName": "x"}, "ttlSecondsAfterFinished": 60})["Job restore"]
    assert "ttlSecondsAfterFinished" not in job["spec"], "Helm would create it again"


def test_alerts_are_rules_that_prometheus_reads():
    seen = set()
    for values in cases().values():
        manifests = render(values)
        rule = manifests.get("PrometheusRule")
        if rule is None:
            continue
        cronjobs = {m["metadata"]["name"] for m in manifests.values() if m["kind"] == "CronJob"}
        assert rule["spec"].keys() == {"groups"}
        (group,) = rule["spec"]["groups"]
        assert group.keys() == {"name", "rules"}
        records = [rule for rule in group["rules"] if "record" in rule]
        for rule in records:
            assert rule.keys() == {"record", "expr"} and promql_parser.parse(rule["expr"])
        recorded = {rule["record"] for rule in records}
        for alert in group["rules"]:
            if alert in records:
                continue
            # Rules are evaluated in their order.
            assert set(re.findall(r"\boffsite:\w+", alert["expr"])) <= recorded
            seen.add(alert["alert"])
            assert alert.keys() <= {"alert", "expr", "for", "labels", "annotations"}
            assert promql_parser.parse(alert["expr"])
            assert set(re.findall(r'cronjob="([^"]+)"', alert["expr"])) <= cronjobs
            for pattern in re.findall(r'job_name=~"([^"]+)"', alert["expr"]):
                assert any(re.fullmatch(pattern, f"{name}-29384756") for name in cronjobs), pattern
            assert all(isinstance(v, str) for v in (alert["labels"] | alert["annotations"]).values())
            assert alert["labels"]["severity"] in ("critical", "warning")
    expected = {f"Offsite{what}{how}" for what in ("Backup", "Verify", "Prune") for how in ("Missing", "Failed", "Unknown")}
    assert seen == expected | {"OffsiteBackupIncomplete"}


def test_the_notes_name_what_is_there():
    values = cases()["everything"] | {"suspend": False}
    text = notes(values)
    name = values["fullnameOverride"]
    assert f"kubectl -n backups create job {name}-now --from=cronjob/{name}" in text
    assert "restore.enabled" in text and "Prune is SUSPENDED" in text and "backup " + name + " is SUSPENDED" not in text
    assert f"create job {name}-prune-now --from=cronjob/{name}-prune" in text
    assert not re.search("%!|<no value>|nil|{{", text), text


# What the README says.


def described(text):
    """Values with the comments that describe them, in the order of the file."""
    path, comment = [], []
    for line in text.splitlines():
        body = line.strip()
        indent = (len(line) - len(line.lstrip())) // 2
        if body.startswith("# -- "):
            comment = [body[5:]]
        elif body.startswith("# ") and comment:
            comment.append(body[2:])
        elif key := re.match(r"([A-Za-z]+):", body):
            path = [*path[:indent], key[1]]
            if comment:
                yield tuple(path), " ".join(comment)
            comment = []
        else:
            comment = []


def table():
    """The table of values for the README."""
    values = load(CHART / "values.yaml")
    lines = ["| value | default | |", "|---|---|---|"]
    documented = []
    for path, comment in described((CHART / "values.yaml").read_text()):
        value = functools.reduce(lambda inner, key: inner[key], path, values)
        documented.append(path)
        text = yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("\n...\n").strip()
        shown = "" if value == "" else f"`{text}`"
        lines.append(f"| `{'.'.join(path)}` | {shown} | {comment} |")
    for path, _ in leaves(values):
        assert any(path[: len(d)] == d for d in documented), f"values.yaml does not describe {'.'.join(path)}"
    return "\n".join(lines) + "\n"


def readme_with_table():
    text = (CHART / "README.md").read_text()
    begin, end = "<!-- values: `dev/deploy/helm-check --write` makes this table of values.yaml -->\n", "<!-- end of values -->\n"
    before, rest = text.split(begin)
    return before + begin + table() + end + rest.split(end)[1]


def test_the_readme_has_every_value():
    assert (CHART / "README.md").read_text() == readme_with_table(), "stale: run dev/deploy/helm-check --write"


def test_the_examples_in_the_readme_render():
    examples = re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.S)
    assert len(examples) > 3
    for example in examples:
        values = yaml.safe_load(example)
        for key, manifest in render(cases()["least"] | values).items():
            if key != "PrometheusRule":
                kubernetes_validate.validate(manifest, KUBERNETES[-1], strict=True)


def main():
    if sys.argv[1:] == ["--write"]:
        (CHART / "README.md").write_text(readme_with_table())
        return 0
    wanted = sys.argv[1:]
    failed = 0
    for name, test in [*globals().items(), *vars(helm_store_check).items()]:
        if name.startswith("test_") and (not wanted or any(w in name for w in wanted)):
            began = time.monotonic()
            try:
                test()
            except AssertionError as error:
                failed += 1
                print(f"FAILED {name.removeprefix('test_')}: {error}")
            except Exception:
                failed += 1
                print(f"FAILED {name.removeprefix('test_')}: {traceback.format_exc()}")
            else:
                print(f"ok     {name.removeprefix('test_')} ({time.monotonic() - began:.1f} s)")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
