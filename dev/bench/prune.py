"""A prune of 1,000 snapshots: time and requests, on stdout. `make bench-prune`.

One pass makes a snapshot; the others are its commit record under other ids, a day apart.
"""

import argparse
import datetime
import json
import os
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import boto3
from botocore.config import Config

from sink import BUCKET, Sink

SNAPSHOTS = 1000
# The server forgets contents below `data`.
SOURCE = "media"
KEEP = {"keep_last": 3, "daily": 30, "monthly": 12, "yearly": 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--offsite", type=Path, required=True)
    parser.add_argument("--built", type=Path, required=True)
    arguments = parser.parse_args()
    with Sink(arguments.built / "local-s3") as sink, tempfile.TemporaryDirectory() as home:
        data = Path(home) / "data"
        data.mkdir()
        (data / "file").write_text("contents")
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": sink.endpoint,
        }
        config = Path(home) / "config.yaml"
        # JSON is YAML.
        config.write_text(
            json.dumps(
                {
                    "backup": {
                        "store": f"s3://{BUCKET}/",
                        "defaults": {"retention": KEEP},
                        "sources": [{"name": SOURCE, "directory": str(data)}],
                    }
                }
            )
        )
        offsite = [arguments.offsite.resolve(), "--config", config]

        def run(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [*offsite, *words], env=environment, capture_output=True, text=True, check=True
            )

        run("run")
        multiply(sink.endpoint)
        plan = json.loads(run("prune", "--dry-run", "--json").stdout)
        measured(sink, "prune --dry-run", lambda: run("prune", "--dry-run"))
        removes = str(plan["removes"])
        measured(
            sink, f"prune, {removes} condemned", lambda: run("prune", "--expect-removed", removes)
        )
        measured(sink, "prune again, nothing to do", lambda: run("prune"))


def multiply(endpoint: str) -> None:
    """Further snapshots, earlier than the one there is."""
    s3 = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "path"},
        ),
    )
    prefix = f"snapshots/{SOURCE}/"
    key = s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)["Contents"][0]["Key"]
    record = json.loads(s3.get_object(Bucket=BUCKET, Key=key)["Body"].read())
    today = datetime.datetime.now(datetime.UTC).replace(hour=2, minute=0, second=0, microsecond=0)
    for days in range(1, SNAPSHOTS):
        at = today - datetime.timedelta(days=days)
        record["pass"] = at.strftime("%Y%m%dT%H%M%SZ-0000")
        record["committed_at"] = at.strftime("%Y-%m-%dT%H:%M:%SZ")
        body = json.dumps(record).encode()
        s3.put_object(Bucket=BUCKET, Key=f"{prefix}{record['pass']}.json", Body=body)


def measured(sink: Sink, name: str, work) -> None:
    sink.take_requests()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    work()
    wall = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    requests = sink.take_requests()
    print(f"{name}: {requests['total']} requests, {wall:.2f} s, {cpu:.2f} CPU s", flush=True)


if __name__ == "__main__":
    main()
