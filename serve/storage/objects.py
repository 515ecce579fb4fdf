"""The choice between blob stores."""

from serve.domain.ports import ObjectStore
from serve.settings import Settings
from serve.storage.filesystem import FilesystemObjects
from serve.storage.s3 import S3Objects


def open_object_store(settings: Settings) -> ObjectStore:
    """The installation's blobs: in S3 where an endpoint is set, files in the data directory where none is.

    Raises:
        InvalidRequest: for an endpoint that does not read http(s)://host[:port], or half a pair of keys.
    """
    if settings.objects.endpoint:
        return S3Objects(settings.objects)
    return FilesystemObjects(settings.storage.data_dir / "objects")
