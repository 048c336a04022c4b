"""`buckets.py NAME …`: makes buckets that are not there yet. docker-compose.yaml runs it at every start."""

import sys

import boto3

client = boto3.client("s3")
known = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
for name in sys.argv[1:]:
    if name not in known:
        client.create_bucket(Bucket=name)
        print(f"made the bucket {name}")
