"""What is run: offsite, the floor, and the peers, each with the best settings that are documented.

All of these are functions from a place to a command. `_again` finds what `_first` has left.
"""

import shlex
from pathlib import Path

from measure import Command
from place import Place
from sink import BUCKET, ORIGINALS
from tools import python_tool, s5cmd
from tools import restic as restic_tool
from tools import rustic as rustic_tool

# What offsite has at most in flight, for all that have such a setting.
REQUESTS = "64"
# For parts of a large file; offsite's, too, are bounded by memory rather than by number.
PARTS = "16"


def offsite(place: Place) -> Command:
    """Everything as it is by default: each file is an event on stdout."""
    return place.command(
        place.tools.offsite, "run",
        "--endpoint-url", place.sink.endpoint, "--bucket", BUCKET, "--prefix", f"{place.prefix}/",
        "--dirs", place.tree,
    )  # fmt: skip


def offsite_restore(place: Place) -> Command:
    return place.command(
        place.tools.offsite, "restore",
        "--endpoint-url", place.sink.endpoint, "--bucket", BUCKET, "--prefix", f"{place.prefix}/",
        "--to", place.fresh(),
    )  # fmt: skip


def originals(place: Place) -> Command:
    """The tree as objects of the bucket that everybody copies from."""
    return _s5cmd(place, "cp", f"{place.tree}/", f"s3://{ORIGINALS}/")


def offsite_bucket(place: Place) -> Command:
    command = place.command(
        place.tools.offsite, "run",
        "--endpoint-url", place.sink.endpoint, "--bucket", BUCKET, "--prefix", f"{place.prefix}/",
    )  # fmt: skip
    source = {"BACKUP_CONFIG_YAML": f"backup: {{sources: [{{bucket: {{name: {ORIGINALS}}}}}]}}"}
    return Command(command.arguments, command.environment | source)


def offsite_archive_gzip(place: Place) -> Command:
    return _offsite_archive(place, "gzip")


def offsite_archive_zstd(place: Place) -> Command:
    return _offsite_archive(place, "zstd")


def offsite_archive_none(place: Place) -> Command:
    return _offsite_archive(place, "none")


def _offsite_archive(place: Place, compression: str) -> Command:
    command = offsite(place)
    # Below `files`, the server forgets contents.
    settings = {
        "OFFSITE_DEFAULTS__ARCHIVE__COMPRESSION": compression,
        "OFFSITE_DEFAULTS__ARCHIVE__KEY": "mine/files/{source}_{pass}.{ext}",
    }
    return Command([*command.arguments, "--archive"], command.environment | settings)


def tar_pigz(place: Place) -> Command:
    return _tar(place, "pigz", "tar.gz")


def tar_zstd(place: Place) -> Command:
    return _tar(place, "zstd -T0 --quiet", "tar.zst")


def _tar(place: Place, compress: str, extension: str) -> Command:
    """What people write; both compressors use all cores, and their default levels."""
    line = (
        f"set -o pipefail; tar -C {place.tree} -c . | {compress} | "
        f"{python_tool('aws')} --endpoint-url {place.sink.endpoint} "
        f"s3 cp --only-show-errors - s3://{place.target}/archive.{extension}"
    )
    return place.command(
        "bash", "-c", line,
        environment=_aws_settings(),
    )  # fmt: skip


def untar_aws(place: Place) -> Command:
    copy = ["s3", "cp", "--only-show-errors", _archive(place), "-"]
    return _untar(place, [str(python_tool("aws")), "--endpoint-url", place.sink.endpoint, *copy])


def untar_s5cmd(place: Place) -> Command:
    endpoint = ["--endpoint-url", place.sink.endpoint, "--log", "error"]
    parts = ["--concurrency", PARTS, "--part-size", "16"]
    return _untar(place, [str(s5cmd()), *endpoint, "cat", *parts, _archive(place)])


def untar_rclone(place: Place) -> Command:
    archive = f":s3:{place.target}/archive.tar.zst"
    return _untar(place, [str(python_tool("rclone")), "cat", archive])


def _archive(place: Place) -> str:
    return f"s3://{place.target}/archive.tar.zst"


def _untar(place: Place, fetch: list[str]) -> Command:
    """What people write to get out again what `tar_zstd` has sent."""
    line = f"set -o pipefail; {shlex.join(fetch)} | zstd -d --quiet | tar -C {place.fresh()} -x"
    return place.command("bash", "-c", line, environment=_aws_settings() | _remote(place))


def _aws_settings() -> dict[str, str]:
    return {"AWS_CONFIG_FILE": str(Path(__file__).with_name("aws-config"))}


def floor_files(place: Place) -> Command:
    return _floor(place, REQUESTS)


def floor_parts(place: Place) -> Command:
    """Few at once, so that what was read is still in the processor's cache when it is sent."""
    return _floor(place, "4")


def _floor(place: Place, connections: str) -> Command:
    return place.command(
        place.tools.floor, "put", place.sink.authority, f"/{place.target}", place.tree, connections
    )


def floor_get(place: Place) -> Command:
    return _floor_get(place, REQUESTS)


def floor_get_parts(place: Place) -> Command:
    return _floor_get(place, "4")


def _floor_get(place: Place, connections: str) -> Command:
    """It takes names and sizes from the tree, and everything else from the server."""
    return place.command(
        place.tools.floor, "get", place.sink.authority, f"/{place.target}", place.tree, connections, place.fresh()
    )


def s5cmd_first(place: Place) -> Command:
    """`cp`: `sync` would list both sides first."""
    return _s5cmd(place, "cp", f"{place.tree}/", f"s3://{place.target}/")


def s5cmd_again(place: Place) -> Command:
    return _s5cmd(place, "sync", f"{place.tree}/", f"s3://{place.target}/")


def s5cmd_large(place: Place) -> Command:
    settings = ["--concurrency", PARTS, "--part-size", "16"]
    return _s5cmd(place, "cp", *settings, f"{place.tree}/", f"s3://{place.target}/")


def s5cmd_restore(place: Place) -> Command:
    return _s5cmd(place, "cp", f"s3://{place.target}/*", f"{place.fresh()}/")


def s5cmd_restore_large(place: Place) -> Command:
    settings = ["--concurrency", PARTS, "--part-size", "16"]
    return _s5cmd(place, "cp", *settings, f"s3://{place.target}/*", f"{place.fresh()}/")


def s5cmd_bucket_first(place: Place) -> Command:
    """`cp`: `sync` would list both sides first."""
    return _s5cmd(place, "cp", f"s3://{ORIGINALS}/*", f"s3://{place.target}/")


def s5cmd_bucket_again(place: Place) -> Command:
    return _s5cmd(place, "sync", f"s3://{ORIGINALS}/*", f"s3://{place.target}/")


def _s5cmd(place: Place, *arguments: str) -> Command:
    """Its 256 workers by default are its fastest; a line for each file is left out."""
    return place.command(
        s5cmd(), "--endpoint-url", place.sink.endpoint, "--log", "error", *arguments
    )


def rclone_first(place: Place) -> Command:
    """Without looking at the destination, before and after."""
    return _rclone(place, "copy", "--no-check-dest", "--s3-no-head")


def rclone_again(place: Place) -> Command:
    """Without a request for each file, which its default, its own time of modification, needs."""
    return _rclone(place, "sync", "--fast-list", "--update", "--use-server-modtime")


def rclone_large(place: Place) -> Command:
    """Without MD5 of the whole before, and of the parts after."""
    checks = ["--no-check-dest", "--s3-no-head", "--s3-disable-checksum"]
    parts = ["--s3-use-multipart-etag=false", "--s3-chunk-size", "16M"]
    return _rclone(place, "copy", *checks, *parts, "--s3-upload-concurrency", PARTS)


def rclone_bucket_first(place: Place) -> Command:
    """Without looking at the destination, and without a request before each object where it lets itself be told."""
    fewer = ["--no-check-dest", "--s3-no-head", "--s3-no-head-object", "--use-server-modtime"]
    return _rclone_from(place, f":s3:{ORIGINALS}", "copy", *fewer)


def rclone_bucket_again(place: Place) -> Command:
    """Without a request for each object, which its own time of modification needs."""
    return _rclone_from(
        place, f":s3:{ORIGINALS}", "sync", "--fast-list", "--update", "--use-server-modtime"
    )


def rclone_restore(place: Place) -> Command:
    """Without a request before each file, and without times of modification, which need one."""
    return _rclone_back(place)


def rclone_restore_large(place: Place) -> Command:
    return _rclone_back(place, "--multi-thread-streams", PARTS)


def _rclone_back(place: Place, *settings: str) -> Command:
    fewer = ["--no-check-dest", "--s3-no-head-object", "--use-server-modtime"]
    many = ["--transfers", REQUESTS, "--checkers", REQUESTS]
    return place.command(
        python_tool("rclone"), "copy", f":s3:{place.target}", place.fresh(), *many, *fewer, *settings,
        environment=_remote(place),
    )  # fmt: skip


def _rclone(place: Place, verb: str, *settings: str) -> Command:
    return _rclone_from(place, str(place.tree), verb, *settings)


def _rclone_from(place: Place, source: str, verb: str, *settings: str) -> Command:
    many = ["--transfers", REQUESTS, "--checkers", REQUESTS]
    return place.command(
        python_tool("rclone"), verb, source, f":s3:{place.target}", *many, *settings,
        environment=_remote(place),
    )  # fmt: skip


def _remote(place: Place) -> dict[str, str]:
    return {
        "RCLONE_CONFIG": "/dev/null",
        "RCLONE_S3_PROVIDER": "Other",
        "RCLONE_S3_ENDPOINT": place.sink.endpoint,
        "RCLONE_S3_ENV_AUTH": "true",
        "RCLONE_S3_NO_CHECK_BUCKET": "true",
    }


def aws(place: Place) -> Command:
    return place.command(
        python_tool("aws"), "--endpoint-url", place.sink.endpoint,
        "s3", "sync", "--only-show-errors", place.tree, f"s3://{place.target}/",
        environment=_aws_settings(),
    )  # fmt: skip


def aws_restore(place: Place) -> Command:
    return place.command(
        python_tool("aws"), "--endpoint-url", place.sink.endpoint,
        "s3", "sync", "--only-show-errors", f"s3://{place.target}/", place.fresh(),
        environment=_aws_settings(),
    )  # fmt: skip


def restic_init(place: Place) -> Command:
    return _restic(place, "init")


def restic(place: Place) -> Command:
    """Without compression, as the files are random bytes."""
    return _restic(place, "backup", "--compression", "off", str(place.tree))


def restic_compressed(place: Place) -> Command:
    return _restic(place, "backup", str(place.tree))


def restic_restore(place: Place) -> Command:
    """Without a look at what was written, as is its default."""
    return _restic(place, "restore", f"latest:{place.tree}", "--target", str(place.fresh()))


def _restic(place: Place, *arguments: str) -> Command:
    repository = {
        "RESTIC_REPOSITORY": f"s3:{place.sink.endpoint}/{BUCKET}/{place.prefix}",
        "RESTIC_PASSWORD": "bench",
        "RESTIC_CACHE_DIR": str(place.scratch / "restic"),
    }
    return place.command(
        restic_tool(), "--quiet", "-o", f"s3.connections={REQUESTS}", *arguments, environment=repository
    )


def rustic_init(place: Place) -> Command:
    return _rustic(place, "init")


def rustic(place: Place) -> Command:
    return _rustic(place, "backup", str(place.tree))


def rustic_restore(place: Place) -> Command:
    return _rustic(place, "restore", f"latest:{place.tree}", str(place.fresh()))


def _rustic(place: Place, *arguments: str) -> Command:
    repository = {
        "RUSTIC_REPOSITORY": "opendal:s3",
        "RUSTIC_PASSWORD": "bench",
        "RUSTIC_CACHE_DIR": str(place.scratch / "rustic"),
        "OPENDAL_BUCKET": BUCKET,
        "OPENDAL_ROOT": f"/{place.prefix}",
        "OPENDAL_ENDPOINT": place.sink.endpoint,
        "OPENDAL_REGION": "us-east-1",
    }
    return place.command(
        rustic_tool() or "rustic", "--no-progress", "--log-level", "warn", *arguments, environment=repository
    )


def gdu(place: Place) -> Command:
    return place.command("gdu", "--non-interactive", "--no-progress", "--summarize", place.tree)


def fd(place: Place) -> Command:
    """Looks for files of a terabyte, so that it stats all and prints none."""
    return place.command("fdfind", "--unrestricted", "--size", "+1t", ".", place.tree)


def du(place: Place) -> Command:
    return place.command("du", "--summarize", place.tree)
