"""Checks where a release backs up to and whose store that is, and runs what is rendered against a real server."""

import copy
import filecmp
import fnmatch
import json
import re
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from helm_render import CHART, OFFSITE, ROOT, cases, container_of, environment_of, notes, render

LOCAL_S3 = ROOT / "target/debug/local-s3"
# The longest that Kubernetes and Helm take.
LONGEST = {"namespace": "n" * 63, "release": "r" * 53}


def effective(values, **names):
    """The settings that a pod of these values has, as the program itself reads them."""
    manifests = render(values, **names)
    container = container_of(manifests["CronJob backup"])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "backup_config.yaml")
        file.write_text(manifests["ConfigMap"]["data"]["backup_config.yaml"])
        environment = environment_of(manifests, container) | {"BACKUP_CONFIG_PATH": str(file)}
        done = subprocess.run([OFFSITE, "config", "--json", *container["args"][1:]], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {shown["field"]: shown["value"] for shown in json.loads(done.stdout)["settings"]}


def configured(**backup):
    """The least values with this configuration."""
    values = cases()["least"]
    values["config"]["backup"] = {"s3": {"bucket": "my-backups"}, "sources": [{"directory": "/data"}]} | backup
    return values


# Where backups go.


def test_releases_in_one_bucket_have_owners_and_places_of_their_own():
    releases = [
        {"namespace": "team-a", "release": "offsite"}, {"namespace": "team-b", "release": "offsite"},
        {"namespace": "team-a", "release": "offsite-2"}, LONGEST,
    ]
    seen = set()
    for names in releases:
        settings = effective(cases()["least"], **names)
        owner = f"{names['namespace']}/{names['release']}"
        assert settings["backup.store_owner"] == owner, settings
        assert settings["backup.s3.prefix"] == f"{owner}/", settings
        assert len(owner) <= 200
        seen.add(owner)
    assert len(seen) == len(releases)


def test_a_place_that_is_given_is_taken():
    def env(**variables):
        return {"env": [{"name": name, "value": value} for name, value in variables.items()]}

    for values, expected in [
        (configured(s3={"bucket": "my-backups", "prefix": "mine/"}), "s3://my-backups/mine/"),
        (configured(s3={"bucket": "my-backups", "prefix": ""}), "s3://my-backups/"),
        (configured(s3={"bucket": "my-backups", "prefix": None}), "s3://my-backups/backups/my-release/"),
        (configured(s3={}, store="s3://my-backups/mine/"), "s3://my-backups/mine/"),
        (configured(s3={}, store="s3://my-backups"), "s3://my-backups"),
        (configured() | env(OFFSITE_S3__PREFIX="mine/"), "s3://my-backups/mine/"),
        (configured() | env(OFFSITE_STORE="s3://elsewhere/mine/"), "s3://elsewhere/mine/"),
        (configured() | env(BACKUP_DIR="/mine"), "/mine"),
        (configured(s3={}) | env(OFFSITE_S3__BUCKET="elsewhere"), "s3://elsewhere/backups/my-release/"),
    ]:
        settings = effective(values)
        place = settings.get("backup.store") or f"s3://{settings['backup.s3.bucket']}/{settings['backup.s3.prefix']}"
        assert place == expected, f"{values}: {place}"
    # Who knows what else is in a secret.
    for values in (
        configured() | {"credentials": {"existingSecret": "s", "keys": {"OFFSITE_STORE": "url"}}},
        configured(s3={}) | {"envFrom": [{"secretRef": {"name": "place"}}]},
    ):
        assert render(values)["ConfigMap defaults"]["data"] == {"OFFSITE_STORE_OWNER": "backups/my-release"}, values
    given = configured(s3={"bucket": "my-backups", "prefix": "mine/"}) | {"storeOwner": ""}
    assert "ConfigMap defaults" not in render(given) and "envFrom" not in container_of(render(given)["CronJob backup"])


def test_an_owner_that_is_given_is_taken():
    env = {"env": [{"name": "OFFSITE_STORE_OWNER", "value": "from-env"}]}
    for values, expected in [
        (configured() | {"storeOwner": "team/web ü \"1\""}, "team/web ü \"1\""),
        (configured() | {"storeOwner": "x" * 200}, "x" * 200),
        (configured(store_owner="from-config"), "from-config"),
        (configured(store_owner="from-config") | {"storeOwner": ""}, "from-config"),
        (configured(store_owner="same") | {"storeOwner": "same"}, "same"),
        (configured() | env, "from-env"),
        (configured() | {"storeOwner": ""}, None),
    ]:
        assert effective(values).get("backup.store_owner") == expected, values


def test_the_rest_of_the_environment_wins_over_what_the_chart_adds():
    """Of sources with one name, Kubernetes takes the last, and a container's own variables over all of them."""
    values = cases()["everything"]
    manifests = render(values)
    container = container_of(manifests["CronJob backup"])
    assert container["envFrom"][0] == {"configMapRef": {"name": manifests["ConfigMap defaults"]["metadata"]["name"]}}
    assert container["envFrom"][1:] == values["envFrom"]
    own = {e["name"] for e in container["env"]}
    assert not own & manifests["ConfigMap defaults"]["data"].keys()


def test_every_pod_knows_the_place():
    values = cases()["least"] | {"verify": {"enabled": True}, "restore": {"enabled": True, "claimName": "x"}}
    manifests = render(values)
    for key in ("CronJob backup", "CronJob verify", "Job restore"):
        environment = environment_of(manifests, container_of(manifests[key]))
        assert environment["OFFSITE_S3__PREFIX"] == "backups/my-release/", key


def test_the_notes_say_where_backups_go_and_whose_they_are():
    text = notes(cases()["least"])
    assert "Backups go to s3://my-backups/backups/my-release/\n" in text, text
    assert "The store belongs to `backups/my-release`" in text and "Earlier ones" not in text, text
    text = notes(cases()["least"], "--is-upgrade")
    assert 'Earlier ones wrote to the top of the bucket' in text and '`config.backup.s3.prefix: ""`' in text, text
    given = configured(s3={"bucket": "my-backups", "prefix": "mine/"}, store_owner="me")
    text = notes(given, "--is-upgrade")
    assert "s3://my-backups/mine/\n" in text and "`me`" in text and "Earlier ones" not in text, text
    assert "Backups go to /store/team\n" in notes(cases()["directory"])
    text = notes(configured() | {"env": [{"name": n, "value": "x"} for n in ("OFFSITE_STORE", "OFFSITE_STORE_OWNER")]})
    assert "Backups go" not in text and "belongs to" not in text, text


def test_who_verifies_a_store_in_a_directory_may_read_it():
    values = cases()["directory"]
    users = {root: pod["runAsUser"] for root in (True, False) for pod in [
        render(values | {"runAsRoot": root})["CronJob verify"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["securityContext"]
    ]}
    assert users == {True: 0, False: 65532}
    bucket = render(cases()["least"] | {"runAsRoot": True, "verify": {"enabled": True}})["CronJob verify"]
    assert "'runAsUser': 65532" in str(bucket), "a bucket is read by anybody with its credentials"


# What it does.


@contextmanager
def served(folder, *buckets):
    """A server with these buckets, and its address."""
    command = [LOCAL_S3, "--listen", "127.0.0.1:0", "--port-file", folder / "endpoint", "--exit-with-parent", "--stop-after", "300"]
    command += ["--log-requests", folder / "requests"]
    for bucket in buckets:
        command += ["--bucket", bucket]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if (folder / "endpoint").exists() and (folder / "endpoint").read_text():
                break
            time.sleep(0.1)
        yield (folder / "endpoint").read_text().strip()
    finally:
        server.kill()
        server.wait()


def run(manifests, key, folder, endpoint, args=None):
    """Runs offsite as a container says, in a folder that takes the place of its root; the process when it has ended."""
    container = container_of(manifests[key])
    (folder / "backup_config.yaml").write_text(manifests["ConfigMap"]["data"]["backup_config.yaml"])
    environment = environment_of(manifests, container) | {
        "BACKUP_CONFIG_PATH": str(folder / "backup_config.yaml"), "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "POD_NAME": "pod", "POD_NAMESPACE": "backups",
        "KUBERNETES_SERVICE_HOST": "10.0.0.1",
    }
    args = [str(folder / "restored") if a == "/restore" else a for a in args or container["args"]]
    return subprocess.run([OFFSITE, *args], env=environment, capture_output=True, text=True, timeout=120)


def succeeds(*arguments, **more):
    done = run(*arguments, **more)
    assert done.returncode == 0, f"{done.args} exits with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout


# One snapshot stays of two, and somebody has looked at the plan.
KEEP_ONE = {"retention": {"keep_last": 1}}
PRUNE_ONE = {"enabled": True, "extraArgs": ["--expect-removed", "1"]}


def of_data(folder, **backup):
    """Values for some data in a folder."""
    (folder / "data/in").mkdir(parents=True)
    (folder / "data/in/diary.txt").write_text("all is well\n")
    (folder / "data/in/other.bin").write_bytes(bytes(100_000))
    backup = {"s3": {"bucket": "my-backups"}, "sources": [{"name": "data", "directory": f"{folder}/data"}]} | backup
    return cases()["least"] | {
        "config": {"backup": backup},
        "volumes": [{"name": "data", "claimName": "data", "mountPath": f"{folder}/data"}],
        "verify": {"enabled": True},
        "restore": {"enabled": True, "claimName": "x", "source": "data", "at": "0s ago", "paths": ["*.txt", "*.bin"]},
    }


def assert_restored(folder):
    files = ["in/diary.txt", "in/other.bin"]
    _, different, missing = filecmp.cmpfiles(folder / "data", folder / "restored", files, shallow=False)
    assert not different and not missing


def test_what_is_rendered_backs_up_verifies_prunes_and_restores():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifests = render(of_data(folder, defaults=KEEP_ONE) | {"prune": PRUNE_ONE})
        with served(folder, "my-backups") as endpoint:
            output = succeeds(manifests, "CronJob backup", folder, endpoint)
            assert '"event":"backup_completed"' in output, output
            succeeds(manifests, "CronJob verify", folder, endpoint)
            succeeds(manifests, "CronJob backup", folder, endpoint)
            # A guard: more than half would go, and nobody has said how many.
            refused = run(manifests, "CronJob prune", folder, endpoint, args=["prune", "--expect-removed", "2"])
            assert refused.returncode == 2 and "1 snapshots would be removed, not 2" in refused.stdout, refused.stdout
            output = succeeds(manifests, "CronJob prune", folder, endpoint)
            assert '"event":"snapshot_condemned"' in output and '"condemned":1,"remaining":1' in output, output
            succeeds(manifests, "Job restore", folder, endpoint)
        assert_restored(folder)


def test_a_bucket_is_backed_up_and_verified_with_nothing_mounted():
    values = cases()["bucket"]
    manifests = render(values)
    pod = manifests["CronJob backup"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert {volume["name"] for volume in pod["volumes"]} == {"offsite-config"}, pod["volumes"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder, "my-backups", "our-documents") as endpoint:
            # Something to back up: what another release has put there.
            elsewhere = {"s3": {"bucket": "our-documents", "prefix": "uploads/"}}
            succeeds(render(of_data(folder, **elsewhere)), "CronJob backup", folder, endpoint)
            values["config"]["backup"]["sources"][0]["bucket"].pop("only")
            values["config"]["backup"]["sources"][0].pop("storage_class")
            manifests = render(values)
            output = succeeds(manifests, "CronJob backup", folder, endpoint)
            assert '"event":"object_copied"' in output and '"event":"backup_completed"' in output, output
            succeeds(manifests, "CronJob verify", folder, endpoint)
        requests = [json.loads(line) for line in (folder / "requests").read_text().splitlines()]
    assert "CopyObject" in {request["operation"] for request in requests}


def test_a_role_as_deploy_ecs_has_it_is_enough_for_prune():
    policy = json.loads((ROOT / "deploy/ecs/prune-policy.json").read_text())
    allowed = {
        (action, resource.removeprefix("arn:aws:s3:::acme-backups/offsite/"))
        for statement in policy["Statement"]
        for action in statement["Action"]
        for resource in statement["Resource"]
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifests = render(of_data(folder, defaults=KEEP_ONE) | {"prune": PRUNE_ONE})
        with served(folder, "my-backups") as endpoint:
            succeeds(manifests, "CronJob backup", folder, endpoint)
            succeeds(manifests, "CronJob backup", folder, endpoint)
            earlier = len((folder / "requests").read_text().splitlines())
            succeeds(manifests, "CronJob prune", folder, endpoint)
            condemned = json.loads(succeeds(manifests, "CronJob prune", folder, endpoint, args=["list", "--condemned", "--json"]))
            for args in (["undelete", condemned[0]["id"]], ["unpin", condemned[0]["id"]], ["pin", "latest", "--reason", "r"], ["ack"]):
                succeeds(manifests, "CronJob prune", folder, endpoint, args=args)
            requests = [json.loads(line) for line in (folder / "requests").read_text().splitlines()[earlier:]]
        made = {(f"s3:{r['operation']}", r["key"].removeprefix("backups/my-release/")) for r in requests if r["operation"] != "ListObjectsV2"}
        assert {action for action, _ in made} == {"s3:GetObject", "s3:PutObject"}, made
        for action, key in made:
            assert any(action == a and fnmatch.fnmatchcase(key, pattern) for a, pattern in allowed), (action, key)


def test_a_store_in_a_directory_is_backed_up_to_verified_and_restored_from():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "store").mkdir()
        values = of_data(folder, s3=None, store=f"{folder}/store", defaults=KEEP_ONE)
        values |= {
            "prune": PRUNE_ONE,
            "extraVolumes": [{"name": "store", "persistentVolumeClaim": {"claimName": "store"}}],
            "extraVolumeMounts": [{"name": "store", "mountPath": f"{folder}/store"}],
        }
        manifests = render(values)
        for key in ("CronJob backup", "CronJob verify", "CronJob backup", "CronJob prune", "Job restore"):
            assert {"name": "store", "mountPath": f"{folder}/store"} in container_of(manifests[key])["volumeMounts"]
            succeeds(manifests, key, folder, "")
        assert_restored(folder)


def test_a_second_release_in_one_place_is_refused_until_it_adopts_it():
    readme = (CHART / "README.md").read_text()
    (adopt,) = re.findall(r'args = (\["adopt".*?\])', readme)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = of_data(folder, s3={"bucket": "my-backups", "prefix": "shared/"})
        first, second = render(values), render(values, release="another")
        with served(folder, "my-backups") as endpoint:
            succeeds(first, "CronJob backup", folder, endpoint)
            refused = run(second, "CronJob backup", folder, endpoint)
            assert refused.returncode == 2 and "offsite adopt" in refused.stdout, refused.stdout + refused.stderr
            assert "belongs to `backups/my-release`" in refused.stdout, refused.stdout
            # The last good state of both is there to be read.
            succeeds(second, "CronJob verify", folder, endpoint)
            succeeds(second, "CronJob backup", folder, endpoint, args=json.loads(adopt))
            succeeds(second, "CronJob backup", folder, endpoint)
            late = run(first, "CronJob backup", folder, endpoint)
            assert late.returncode == 2, late.stdout


def test_a_release_from_before_there_were_owners_goes_on():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        before = of_data(folder, s3={"bucket": "my-backups", "prefix": ""})
        with served(folder, "my-backups") as endpoint:
            output = succeeds(render(before | {"storeOwner": ""}), "CronJob backup", folder, endpoint)
            assert "store_owner_recorded" not in output, output
            output = succeeds(render(before), "CronJob backup", folder, endpoint)
            assert '"event":"store_owner_recorded"' in output and '"uploaded_files":0' in output, output


def test_copies_are_made_and_take_the_place_of_the_first_store():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "copy").mkdir()
        copies = [{"store": "s3://elsewhere/team/", "required": True}, {"store": f"{folder}/copy", "required": True}]
        values = of_data(folder, copies=copies)
        values |= {
            "extraVolumes": [{"name": "copy", "persistentVolumeClaim": {"claimName": "copy"}}],
            "extraVolumeMounts": [{"name": "copy", "mountPath": f"{folder}/copy"}],
        }
        with served(folder, "my-backups", "elsewhere") as endpoint:
            output = succeeds(render(values), "CronJob backup", folder, endpoint)
            assert output.count('"event":"copy_completed"') == 2, output
            for store in (further["store"] for further in copies):
                instead = copy.deepcopy(values)
                instead["config"]["backup"] = {"store": store, "sources": values["config"]["backup"]["sources"]}
                # It belongs to the same release, and goes on without sending anything again.
                output = succeeds(render(instead), "CronJob backup", folder, endpoint)
                assert '"uploaded_files":0' in output, output
