"""An object store in a bucket (`s3://` URIs): AWS, or what speaks its protocol (MinIO, Ceph). On boto3.

Everything that boto3 knows is set by AWS's own variables: `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, `AWS_CA_BUNDLE` and
so on, or by the pod's workload identity. A bucket should have a lifecycle rule that ends unfinished multipart uploads:
a process that is killed leaves one behind.
"""

from airloom.adapters.s3.object_store import S3ObjectStore

__all__ = ["S3ObjectStore"]
