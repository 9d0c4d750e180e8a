"""`pipeline data`: fetch a data set, cut it into shards, put a file into a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.cli.output import output, styled, write_json
from pipeline.errors import Fault, UsageError

app = typer.Typer(help="Fetch a data set, cut it into shards, put a file into a store.", no_args_is_help=True)

Folder = Annotated[
    Path | None, typer.Option(help="the four IDX files, where they are here already", metavar="DIR", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]


@app.command()
def fetch(
    name: Annotated[Literal["mnist"], typer.Argument(help="data set", show_default=False)],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Fetch a data set into the cache, sizes and hashes checked; from --folder, else from its mirrors."""
    from pipeline.data import mnist

    files = mnist.fetch(folder)
    if as_json:
        write_json({"name": name, "files": {key: str(path) for key, path in vars(files).items()}})
        return
    for path in vars(files).values():
        output().print(styled(str(path)))


@app.command()
def split(
    out: Annotated[Path, typer.Option(help="folder for the shards", metavar="DIR", show_default=False)],
    shards: Annotated[int, typer.Option(help="how many", min=1, max=64)] = 2,
    rows: Annotated[int | None, typer.Option(help="only the first rows", min=1, show_default="all")] = None,
    tar: Annotated[
        bool, typer.Option("--tar", help="the course's older form: a tar.gz with a package dataset_dl")
    ] = False,
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Cut MNIST's training rows into one file for each worker."""
    from pipeline.data import mnist
    from pipeline.data.split import split as cut

    paths = cut(mnist.fetch(folder), out, shards=shards, rows=rows, tar=tar)
    if as_json:
        write_json([str(path) for path in paths])
        return
    for path in paths:
        output().print(styled(str(path)))


@app.command()
def digits(
    out: Annotated[Path, typer.Option(help="folder for the pictures", metavar="DIR", show_default=False)],
    folder: Folder = None,
    as_json: AsJson = False,
) -> None:
    """Write label0.png to label9.png, one training image of each digit: what inference is asked for by hand."""
    from pipeline.data import mnist
    from pipeline.data.digits import write_digits

    paths = write_digits(mnist.fetch(folder), out)
    if as_json:
        write_json([str(path) for path in paths])
        return
    for path in paths:
        output().print(styled(str(path)))


@app.command()
def put(
    file: Annotated[Path, typer.Argument(help="what to put", metavar="FILE", show_default=False)],
    servers: Annotated[
        Path | None,
        typer.Option(help="the ready file of `pipeline serve`: names the store", metavar="FILE", show_default=False),
    ] = None,
    bucket: Annotated[str, typer.Option(help="made if it is not there", metavar="NAME")] = "data",
    endpoint: Annotated[
        str | None, typer.Option(help="host:port or URL of another store", envvar="PIPELINE_STORE_ENDPOINT")
    ] = None,
    access_key: Annotated[str | None, typer.Option(help="its access key", envvar="PIPELINE_STORE_ACCESS_KEY")] = None,
    secret_key_file: Annotated[
        Path | None, typer.Option(help="a file that holds its secret key", envvar="PIPELINE_STORE_SECRET_KEY_FILE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Put a file into a store; prints bucket_name, object_name and a signed url.

    Where containers see the store under another address, url_inside is theirs.
    """
    from pipeline.backends.store.s3 import connect
    from pipeline.data.put import put as upload

    address, key, secret = store_of(servers) if servers else store_named(endpoint, access_key, secret_key_file)
    secure = address.startswith("https://")
    host = address.removeprefix("https://").removeprefix("http://").rstrip("/")
    elsewhere = inside(servers, host) if servers else None
    uploaded = upload(connect(host, key, secret, bucket, secure=secure), file, inside=elsewhere)
    told = {name: value for name, value in vars(uploaded).items() if value}
    if as_json:
        write_json(told)
        return
    for name, value in told.items():
        output().print(styled(f"{name} {value}"))


def store_of(servers: Path) -> tuple[str, str, str]:
    """Endpoint, access key and secret key from a ready file. Raises UsageError where it is none."""
    try:
        store = json.loads(servers.read_text())["store"]
        return str(store["endpoint"]), str(store["access_key"]), str(store["secret_key"])
    except OSError as error:
        raise UsageError(f"{servers} cannot be read: {error.strerror}", hint="`pipeline serve --ready-file`") from None
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{servers} is no ready file", hint="`pipeline serve --ready-file FILE` writes one") from None


def inside(servers: Path, endpoint: str) -> str | None:
    """Where containers reach the store, if that is not `endpoint`."""
    address = json.loads(servers.read_text()).get("inside", {}).get("store")
    return address if address != endpoint else None


def store_named(endpoint: str | None, access_key: str | None, secret_file: Path | None) -> tuple[str, str, str]:
    """The same from options. The secret comes from a file: arguments are seen by all users of a machine."""
    if endpoint is None or access_key is None or secret_file is None:
        given = {"--endpoint": endpoint, "--access-key": access_key, "--secret-key-file": secret_file}
        faults = [Fault(name, "is not given") for name, value in given.items() if value is None]
        raise UsageError("no store is named", faults=faults, hint="or --servers with the file of `pipeline serve`")
    try:
        return endpoint, access_key, secret_file.read_text().strip()
    except OSError as error:
        raise UsageError(f"{secret_file} cannot be read: {error.strerror}", hint="it holds the secret key") from None
