"""s3:// - a prefix of a bucket, through the minio client with the installation's credentials."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from minio.error import MinioException, S3Error

from serve.catalog.sources.source import CHUNK_BYTES, Interrupted, Listing, RemoteFile, Report, refusal, unreachable
from serve.settings import ObjectsSettings
from serve.storage.s3 import REFUSED_CODES, create_client

_ADDRESS = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(?P<prefix>.+)")
MAX_OBJECTS = 10_000


class BucketSource:
    """The objects under a prefix; their ETags make the revision."""

    brings_code_beside = False
    pinned_revision: str | None = None

    def __init__(self, uri: str, settings: ObjectsSettings) -> None:
        """Raises InvalidRequest: `invalid_weights_uri`, `weights_source_off`."""
        match = _ADDRESS.fullmatch(uri)
        if match is None:
            raise refusal("invalid_weights_uri", f"a bucket address reads s3://bucket/prefix: {uri}")
        if not settings.endpoint:
            raise refusal("weights_source_off", f"{uri}: set SLIPWAY_OBJECTS_ENDPOINT and its keys to read buckets")
        self._bucket, self._prefix = match["bucket"], match["prefix"].strip("/")
        self._client = create_client(settings)
        self._keys: dict[str, str] = {}

    def listing(self, workdir: Path, report: Report) -> Listing:
        """Raises InvalidRequest: `weights_not_found`, `weights_forbidden`; ModelUnavailable."""
        files = []
        revision = hashlib.sha256()
        for found in self._objects():
            name = self._relative(found.object_name)
            self._keys[name] = found.object_name
            files.append(RemoteFile(name, found.size, etag=found.etag))
            revision.update(f"{name}\0{found.size} {found.etag}\n".encode())
        if not files:
            raise refusal("weights_not_found", f"the bucket {self._bucket} has nothing under {self._prefix}")
        return Listing(revision.hexdigest(), tuple(files))

    def _objects(self) -> Iterator[Any]:
        """The prefix as a folder, or as the one object of that name."""
        try:
            for number, found in enumerate(self._client.list_objects(self._bucket, self._prefix, recursive=True)):
                if number >= MAX_OBJECTS:
                    raise refusal("too_many_files", f"more than {MAX_OBJECTS} objects are under {self._prefix}")
                is_inside = found.object_name == self._prefix or found.object_name.startswith(self._prefix + "/")
                if is_inside and not found.object_name.endswith("/"):
                    yield found
        except S3Error as error:
            if error.code in REFUSED_CODES:
                raise refusal(
                    "weights_forbidden", f"the store refuses the bucket {self._bucket}: {error.code}"
                ) from None
            if error.code in ("NoSuchBucket", "NoSuchKey"):
                raise refusal("weights_not_found", f"the store has no bucket {self._bucket}") from None
            raise unreachable(f"the store answers {error.code} for {self._bucket}") from error
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise unreachable(f"the store of {self._bucket} does not answer: {type(error).__name__}") from error

    def _relative(self, key: str) -> str:
        return key.rsplit("/", 1)[-1] if key == self._prefix else key[len(self._prefix) + 1 :]

    @contextmanager
    def open(self, file: RemoteFile, offset: int) -> Iterator[Iterator[bytes]]:
        """The object's bytes from `offset`, of the very version that was listed."""
        headers: Any = {"If-Match": f'"{file.etag}"'} if file.etag else None
        response = None
        try:
            response = self._client.get_object(
                self._bucket, self._keys[file.path], offset=offset, request_headers=headers
            )
            yield response.stream(CHUNK_BYTES)
        except S3Error as error:
            if error.code == "PreconditionFailed":
                raise refusal("weights_changed", f"{file.path} was replaced while it was read; try again") from None
            raise Interrupted(str(error.code)) from error
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise Interrupted(type(error).__name__) from error
        finally:
            if response is not None:
                response.close()
                response.release_conn()
