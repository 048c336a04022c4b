"""An object store in a local folder (`file://` URIs). Atomic by rename on one filesystem; no vendor library."""

from airloom.adapters.local_folder.object_store import LocalFolderObjectStore

__all__ = ["LocalFolderObjectStore"]
