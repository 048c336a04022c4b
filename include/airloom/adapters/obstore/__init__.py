"""An object store in Google Cloud Storage (`gs://bucket/…`) or Azure Blob Storage (`az://container/…`). On obstore.

obstore is the Python binding of Apache Arrow's object_store. Google's variables are `GOOGLE_SERVICE_ACCOUNT` and so on,
Azure's `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY` and so on; without keys, the pod's workload identity.
S3 has an adapter of its own (`airloom.adapters.s3`).
"""

from airloom.adapters.obstore.object_store import CloudObjectStore

__all__ = ["CloudObjectStore"]
