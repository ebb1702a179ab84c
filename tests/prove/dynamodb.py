# SPDX-License-Identifier: Apache-2.0
"""Experiment dynamodb: the state store against DynamoDB Local, AWS's own program, which knows conditions, transactions, sizes and
reserved words as the service does, and does one write of an item at a time, which moto does not. DYNAMODB_URL names one that
runs; otherwise Maven fetches it (50 MB, kept in the build folder), which needs Java. It does not judge signatures. The test is
the one of `make check`; then many write first at a time, and one of them does."""
import concurrent.futures
import os
import re
import shutil
import subprocess
import sys

import _prove
import remora
from servers import Aws, listens

SOURCE = os.path.join(_prove.TOP, "tests", "servers", "dynamodb")
TEST = os.path.join(_prove.TOP, "tests", "integration", "state_dynamodb_test.py")
CLASS = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"
claims = _prove.Claims()


def fetched():
    """The folder with its files, or None."""
    folder = os.path.join(remora.BUILD, "dynamodb")
    if os.path.exists(folder):
        return folder
    if not (shutil.which("mvn") and shutil.which("java")):
        return None
    new = folder + ".new"
    shutil.rmtree(new, ignore_errors=True)
    words = ["mvn", "-q", "-B", "-f", os.path.join(SOURCE, "pom.xml"), f"-Dmaven.repo.local={new}.repository",
             "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies", f"-DoutputDirectory={new}"]
    print("fetching DynamoDB Local", flush=True)
    done = (subprocess.run(words, stdout=subprocess.DEVNULL).returncode == 0 and subprocess.run(
        ["sha256sum", "--quiet", "--strict", "-c", os.path.join(SOURCE, "checksums")], cwd=new).returncode == 0)
    shutil.rmtree(new + ".repository", ignore_errors=True)
    if done:
        os.rename(new, folder)
    return folder if done else None


def start(folder):
    port = remora.free_port()
    server = remora.Process(["java", "-Xmx300m", f"-Djava.library.path={folder}", "-cp", f"{folder}/*", CLASS, "-inMemory", "-port",
                             str(port)], remora.Folder())
    remora.eventually(lambda: server.is_alive() and listens(port), "DynamoDB Local listens", 60)
    return f"http://127.0.0.1:{port}"


def race():
    """How many of sixteen at a time succeed, of first writes, of writes on one ETag, and of transactions."""
    aws = Aws()
    aws.call("dynamodb", "create_table", TableName="race", KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
             AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST")
    store = remora.Store(remora.Sidecar(remora.component("race", "state.aws.dynamodb", {
        "table": "race", "region": "us-east-1", "endpoint": os.environ["DYNAMODB_URL"], "accessKey": aws.access_key,
        "secretKey": aws.secret_key})), "race")
    first, counts = {"options": {"concurrency": "first-write"}}, []
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        def succeed(act):
            return [reply.status for reply in pool.map(act, range(16))].count(204)

        for i in range(20):
            counts.append(succeed(lambda value: store.save(f"k{i}", value, **first)))
            etag = store.get(f"k{i}").header("Etag")
            counts.append(succeed(lambda value: store.save(f"k{i}", value, etag=etag)))
            counts.append(succeed(lambda value: store.transact(("upsert", f"t{i}", value, first), ("upsert", f"u{i}", value))))
    return counts


if "DYNAMODB_URL" not in os.environ:
    folder = fetched()
    if folder is None:
        print("skipped: no DynamoDB Local, and none can be fetched here\n0 passed, 0 failed, 1 skipped")
        sys.exit(0)
    os.environ["DYNAMODB_URL"] = start(folder)
run = subprocess.run([sys.executable, TEST], env={**os.environ, "PYTHONPATH": os.path.join(_prove.TOP, "tests", "lib")},
                     capture_output=True, text=True)
last = (run.stdout.strip().splitlines() or [""])[-1]
counts = re.match(r"(\d+) passed, (\d+) failed", last)
if run.returncode != 0:
    print(run.stdout[-4000:], run.stderr[-2000:], sep="")
claims.holds(f"the test with DynamoDB Local: {last}", run.returncode == 0 and counts and int(counts.group(1)) > 0)
winners = race()
claims.holds(f"of sixteen at a time one succeeds: {sorted(set(winners))} of {len(winners)} races", set(winners) == {1})
remora.end_all()
claims.end(f"{counts.group(1) if counts else 0} tests with DynamoDB Local")
