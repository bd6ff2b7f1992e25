#!/usr/bin/env python3
"""AWS' own client of a Kinesis that stands in: what others see of a stream.

    kinesis_client.py ENDPOINT create STREAM SHARDS
    kinesis_client.py ENDPOINT read STREAM         one line for each user record: its key, and its data as base64

Aggregated records are taken apart by AWS' library, aws_kinesis_agg. Credentials come from the environment.
"""

import base64
import sys

import boto3
from aws_kinesis_agg.deaggregator import deaggregate_records

endpoint, command, stream = sys.argv[1:4]
client = boto3.client("kinesis", region_name="us-east-1", endpoint_url=endpoint)


def lambda_form(record):
    return {"kinesis": {
        "kinesisSchemaVersion": "1.0", "data": base64.b64encode(record["Data"]).decode(),
        "partitionKey": record["PartitionKey"], "sequenceNumber": record["SequenceNumber"],
        "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
    }}


def read(shard):
    iterator = client.get_shard_iterator(
        StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    while iterator:
        answer = client.get_records(ShardIterator=iterator, Limit=1000)
        if not answer["Records"]:
            return
        for record in deaggregate_records([lambda_form(record) for record in answer["Records"]]):
            data = record["kinesis"]["data"]
            print(record["kinesis"]["partitionKey"], data.decode() if isinstance(data, bytes) else data)
        iterator = answer.get("NextShardIterator")


if command == "create":
    client.create_stream(StreamName=stream, ShardCount=int(sys.argv[4]))
    client.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
else:
    for shard in client.list_shards(StreamName=stream)["Shards"]:
        read(shard["ShardId"])
