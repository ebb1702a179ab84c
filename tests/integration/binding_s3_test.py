#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bindings.aws.s3 against moto, which judges signatures by itself, and boto3, which sees what came of it; and against
servers that fail."""
import base64
import json
import os
import threading
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from remora import Folder, Sidecar, component, equal, eventually, main, need, test
from servers import Aws

aws = Aws()
aws.call("s3", "create_bucket", Bucket="shop")
aws.call("s3", "create_bucket", Bucket="versions")
aws.call("s3", "put_bucket_versioning", Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
SECRET = aws.secret_key
folder = Folder()
ODD = "sub folder/caf\u00e9 & \u2713+~(1).txt"


class Broken(BaseHTTPRequestHandler):
    """Answers by the bucket's name."""

    protocol_version = "HTTP/1.1"
    count = 0

    def answer(self):
        name = self.path.split("/")[1].split("?")[0]
        status, body = {"fails": (500, b""), "words": (503, b"<Error><Code>SlowDown</Code><Message>a\nb</Message></Error>"),
                        "bomb": (200, b"<!DOCTYPE a [<!ENTITY a 'aaaa'>]><ListBucketResult><Name>&a;</Name></ListBucketResult>"),
                        "other": (200, b"<Other/>"), "cut": (200, b"<ListBucketResult><Na"),
                        "deep": (200, b"<a>" * 100000), "long": (200, b"x" * 17 * 1024 * 1024)}.get(name, (404, b"<x"))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if name == "hangs":
            self.rfile.read(1)  # until the client has gone
            return
        if name == "flaky":
            Broken.count += 1
            status, body = (200 if Broken.count > 2 else 503, b"at last")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            pass  # it has hung up on what is too long

    do_GET = do_PUT = do_DELETE = answer

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that has gone


broken = Server(("127.0.0.1", 0), Broken)
threading.Thread(target=broken.serve_forever, daemon=True).start()


def bucket(component_name, bucket="shop", endpoint=aws.url, **metadata):
    values = {"bucket": bucket, "region": "us-east-1", "endpoint": endpoint, "accessKey": aws.access_key, "secretKey": SECRET,
              "forcePathStyle": "true", **metadata}
    return component(component_name, "bindings.aws.s3", [(n, str(value)) for n, value in values.items()])


with open(folder / "picture.png", "wb") as f:
    f.write(b"\x89PNG\x00\xff")
PATIENCE = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: {name: patience}
spec:
  policies:
    timeouts: {short: 500ms}
    retries: {thrice: {policy: constant, duration: 20ms, maxRetries: 3}}
  targets:
    components:
      hangs: {outbound: {timeout: short}}
      flaky: {outbound: {retry: thrice}}
"""
FAILING = ("fails", "hangs", "flaky", "words", "bomb", "other", "cut", "deep", "long")
sidecar = Sidecar(
    PATIENCE, bucket("plain"), bucket("versions", "versions"), bucket("nobucket", "missing"), bucket("wrong", secretKey="gu3ss"),
    bucket("base64", decodeBase64="true", encodeBase64="true"), bucket("file", filePath=folder.path),
    bucket("token", sessionToken="t0k/en+="), bucket("nowhere", endpoint="127.0.0.1:9", disableSSL="true"),
    bucket("tls", endpoint=aws.url.replace("http", "https")), bucket("dots", "my.shop", forcePathStyle="false"),
    *[bucket(name, name, endpoint=f"http://127.0.0.1:{broken.server_port}") for name in FAILING],
)


def invoke(binding, operation, data=None, sidecar=sidecar, **metadata):
    body = {"operation": operation, "metadata": {name.replace("_", "-"): value for name, value in metadata.items()}}
    if data is not None:
        body["data"] = data
    return sidecar.call("POST", f"/v1.0/bindings/{binding}", json.dumps(body))


def refused(reply, words):
    need(reply.status == 500 and words in reply.text, f"{reply.status} {reply.text}, not {words}")


def stored(key, bucket="shop"):
    return aws.call("s3", "get_object", Bucket=bucket, Key=key)


@test("what is created is there, byte for byte, and is read and deleted", "BIND-02")
def _():
    for key, data in (("a.txt", "hello"), (ODD, "caf\u00e9 \u2713"), ("empty", ""), ("a//b/./c", "x"), ("long", 300000 * "0123456789")):
        reply = invoke("plain", "create", data, key=key)
        equal(reply.status, 200, reply.text)
        equal(reply.json, {"location": f"{aws.url}/shop/{urllib.parse.quote(key, safe='/~')}", "versionID": None})
        equal(reply.header("metadata.key").encode("latin-1").decode(), key)
        equal(stored(key)["Body"].encode("latin-1").decode(), data)
        reply = invoke("plain", "get", key=key)
        equal((reply.status, reply.body.decode()), (200 if data else reply.status, data))
        equal((invoke("plain", "delete", key=key).status, "NoSuchKey" in stored(key)["error"]), (204, True))
    reply = invoke("plain", "create", {"json": [1]})
    need(len(reply.header("metadata.key")) == 36, "an UUID")
    equal(json.loads(stored(reply.header("metadata.key"))["Body"]), {"json": [1]})
    reply = invoke("versions", "create", "x", key="k")
    equal(reply.json["versionID"], stored("k", "versions")["VersionId"])


@test("what it is, where it is kept and what is said of it go along", "BIND-02")
def _():
    reply = invoke("plain", "create", "x", key="k", Content_Type="text/plain", storageClass="REDUCED_REDUNDANCY", tags="a=1, b c=d:e=f")
    equal(reply.status, 200, reply.text)
    got = stored("k")
    equal((got["ContentType"], got["StorageClass"]), ("text/plain", "REDUCED_REDUNDANCY"))
    equal({t["Key"]: t["Value"] for t in aws.call("s3", "get_object_tagging", Bucket="shop", Key="k")["TagSet"]},
          {"a": "1", "b c": "d:e=f"})
    refused(invoke("plain", "create", "x", key="k", tags="a"), "invalid tag format: 'a' (expected key=value)")
    refused(invoke("plain", "create", "x", key="k", storageClass="A\r\nx-amz-acl: public-read"), "control character")


@test("base64 is undone and done", "BIND-02")
def _():
    bytes_ = bytes(range(256))
    equal(invoke("base64", "create", base64.b64encode(bytes_).decode(), key="bin").status, 200)
    equal(stored("bin")["Body"].encode("latin-1"), bytes_)
    equal(base64.b64decode(invoke("base64", "get", key="bin").body), bytes_)
    equal(invoke("base64", "get", key="bin", encodeBase64="false").body, bytes_)
    refused(invoke("base64", "create", "no base64!", key="bin2"), "uploading failed: illegal base64 data")


@test("a file is uploaded, of those that the component opens", "BIND-02")
def _():
    equal(invoke("file", "create", key="png", filePath=folder / "picture.png").status, 200)
    equal(stored("png")["Body"].encode("latin-1"), b"\x89PNG\x00\xff")
    refused(invoke("file", "create", key="p", filePath=folder / "none"), "No such file or directory")
    refused(invoke("file", "create", key="p"), "Is a directory")
    os.symlink("/etc/passwd", folder / "link")
    for path in ("/etc/passwd", folder / "link", folder / "../../etc/passwd", folder.path + "x", folder.path + "/x/../../x"):
        need(invoke("file", "create", key="p", filePath=path).status == 500, f"{path} is read")
    refused(invoke("plain", "create", key="p", filePath=folder / "picture.png"), "Permission denied")


@test("a list is the reference's, page by page", "BIND-02")
def _():
    aws.call("s3", "create_bucket", Bucket="list")
    keys = ["a/1", "a/2 <&>\"", "b", "c"]
    listing = Sidecar(bucket("list", "list"))
    for key in keys:
        equal(invoke("list", "create", key, listing, key=key).status, 200)
    got = invoke("list", "list", sidecar=listing).json
    equal(sorted(got), ["CommonPrefixes", "Contents", "Delimiter", "EncodingType", "IsTruncated", "Marker", "MaxKeys", "Name",
                        "NextMarker", "Prefix"])
    equal(([o["Key"] for o in got["Contents"]], got["IsTruncated"], got["MaxKeys"], got["Name"], got["CommonPrefixes"]),
          (keys, False, 1000, "list", None))
    first = got["Contents"][0]
    equal((sorted(first), first["Size"], first["StorageClass"]),
          (["ETag", "Key", "LastModified", "Owner", "Size", "StorageClass"], 3, "STANDARD"))
    need(first["ETag"].startswith('"') and first["LastModified"].endswith("Z") and "." not in first["LastModified"], str(first))
    got = invoke("list", "list", {"delimiter": "/", "maxResults": 10}, listing).json
    equal(([o["Key"] for o in got["Contents"]], got["CommonPrefixes"]), (["b", "c"], [{"Prefix": "a/"}]))
    got = invoke("list", "list", {"prefix": "a/2 <&>", "maxResults": 0}, listing).json
    equal([o["Key"] for o in got["Contents"]], keys[1:2])
    got = invoke("list", "list", {"maxResults": 3}, listing).json
    equal((len(got["Contents"]), got["IsTruncated"]), (3, True))
    got = invoke("list", "list", {"marker": got["Contents"][-1]["Key"]}, listing).json
    equal([o["Key"] for o in got["Contents"]], ["c"])
    for wrong in ("text", [1], {"maxResults": "1"}, {"prefix": 1}, {"maxResults": 1.5}):
        refused(invoke("list", "list", wrong, listing), "unable to parse Data property")
    listing.end()


@test("a presigned URL is good for whoever has it", "BIND-02")
def _():
    reply = invoke("plain", "create", "for all", key=ODD, presignTTL="15m")
    for url in (reply.json["presignURL"], invoke("plain", "presign", key=ODD, presignTTL="1h30m").json["presignURL"]):
        need(url.startswith(f"{aws.url}/shop/{urllib.parse.quote(ODD, safe='/~')}?"), url)
        wanted = urllib.parse.parse_qs(aws.call("url", "presigned", url=url)["url"].partition("?")[2])
        equal(urllib.parse.parse_qs(url.partition("?")[2]), wanted, "as botocore signs it")
        equal(urllib.request.urlopen(url, timeout=15).read(), b"for all")
    need("X-Amz-Expires=900&" in reply.json["presignURL"], reply.text)
    need("X-Amz-Security-Token=t0k%2Fen%2B%3D" in invoke("token", "presign", key="k", presignTTL="1m").json["presignURL"],
         "the session's token")
    for ttl in ("never", "0s", "500h"):
        refused(invoke("plain", "presign", key="k", presignTTL=ttl), f"cannot parse duration {ttl}")
    refused(invoke("plain", "presign", key="k"), "required metadata 'presignTTL' missing")


@test("failures are told, and a secret never", "BIND-04")
def _():
    refused(invoke("plain", "get", key="none"), "object not found")
    for operation in ("get", "delete", "presign"):
        refused(invoke("plain", operation, presignTTL="1m"), "s3 binding error: required metadata 'key' missing")
    refused(invoke("nobucket", "get", key="k"), "s3 binding error: error downloading S3 object: NoSuchBucket: ")
    refused(invoke("nobucket", "create", "x", key="k"), "s3 binding error: uploading failed: NoSuchBucket: ")
    refused(invoke("wrong", "create", "x", key="k"), "SignatureDoesNotMatch")
    refused(invoke("plain", "get", key="k" * 1025), "KeyTooLongError")
    refused(invoke("nowhere", "create", "x", key="k"), "s3 binding error: uploading failed: ")
    refused(invoke("tls", "get", key="k"), "s3 binding error: error downloading S3 object: ")
    need(invoke("plain", "copy").status >= 400, "an operation that is none")
    need(SECRET not in sidecar.log() and "gu3ss" not in sidecar.log() and "t0k/en" not in sidecar.log(), "a secret in the log")


@test("answers that are none are errors", "BIND-04")
def _():
    refused(invoke("fails", "get", key="k"), "status code: 500")
    refused(invoke("words", "delete", key="k"), "delete operation failed: SlowDown: a b, status code: 503")
    for name in ("bomb", "other", "cut", "deep"):
        refused(invoke(name, "list"), "list operation failed: the answer is no list")
    refused(invoke("long", "list"), "list operation failed: the answer is longer than 16777216 bytes")


@test("a policy ends what hangs, and tries again what fails", "BIND-04")
def _():
    for operation in ("create", "get", "delete", "list"):
        need(invoke("hangs", operation, key="k").status >= 500, f"{operation} of a server that hangs")
    equal(invoke("flaky", "get", key="k").body, b"at last")
    equal(Broken.count, 3, "requests")
    equal(invoke("plain", "create", "x", key="k").status, 200)


@test("components without what they need are refused", "BIND-02")
def _():
    for metadata, words in ((dict(bucket=""), "bucket is missing"), (dict(region=""), "region is missing"),
                            (dict(secretKey=""), "accessKey and secretKey are needed"),
                            (dict(endpoint="http://a b/"), "endpoint is no URL"), (dict(bucket="a/b"), "bucket is not the name")):
        refusing = Sidecar(bucket("broken", **metadata), wait=False)
        eventually(lambda: not refusing.is_alive(), "the end")
        need(words in refusing.log() and SECRET not in refusing.log(), f"{words} is not in the log")


main()
