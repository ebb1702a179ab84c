#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every plugin meets the contract, as does one written without our SDK. timeout: 900"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "conformance"))
import configuration_stores  # noqa: E402
import consul  # noqa: E402
import held  # noqa: E402
import http_app  # noqa: E402
import kafka_node  # noqa: E402
import kubernetes  # noqa: E402
import mariadb  # noqa: E402
import memcached  # noqa: E402
import mosquitto  # noqa: E402
import providers  # noqa: E402
import rabbitmq  # noqa: E402
import redis_fixture  # noqa: E402
import remora  # noqa: E402
import servers  # noqa: E402
import vault  # noqa: E402

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("REMORA_BUILD") or os.environ.get("BUILD") or os.path.join(TOP, "build")
JUDGE = os.path.join(TOP, "tests/conformance/run")
PYTHON = os.path.join(TOP, "tests/conformance/python-plugin")
RUNS = [["in-memory"], ["sqlite"], ["redis"], ["echo"], ["local-secrets"],
        ["-t", "secretstores.local.env", "local-secrets"], ["names"], ["consul"],
        ["vault", "secret_", "life", "many_components", "hello"], ["kubernetes", "secret_", "life", "many_components", "hello"],
        ["-t", "pubsub.in-memory", "in-memory", "pubsub_", "life", "many_components"],
        ["-t", "pubsub.sqlite", "sqlite", "pubsub_", "life", "many_components"],
        ["-t", "pubsub.redis", "redis", "pubsub_", "life", "many_components"], ["mqtt"], ["rabbitmq"],
        ["kafka"],
        ["-t", "lock.sqlite", "sqlite", "lock_", "life", "many_components"],
        ["-t", "configuration.sqlite", "sqlite", "configuration_", "life", "many_components"],
        ["-t", "configuration.redis", "redis", "configuration_", "life", "many_components"],
        ["-t", "configuration.postgresql", "postgresql", "configuration_", "life", "many_components"],
        ["-t", "state.postgresql/v1", "postgresql"], ["-t", "state.postgresql/v2", "postgresql"],
        ["-t", "bindings.postgresql", "postgresql", "binding_", "life", "many_components"],
        ["mysql"], ["memcached"],
        ["-t", "lock.redis", "redis", "lock_", "life", "many_components"],
        ["-t", "bindings.redis", "redis", "binding_", "life", "many_components"],
        ["-t", "bindings.rabbitmq", "rabbitmq", "binding_", "life", "many_components"],
        ["-t", "bindings.kafka", "kafka", "binding_", "life", "many_components"],
        ["-t", "bindings.mqtt3", "mqtt", "binding_", "life", "many_components"],
        ["http"], ["localstorage"], ["cron"], ["smtp"], ["aws"],
        ["-t", "bindings.aws.sqs", "aws", "binding_", "life", "many_components"],
        # SNS takes texts only, which pubsub_deliver has more than.
        ["-t", "pubsub.aws.snssqs", "aws", "pubsub_window", "pubsub_bulk", "pubsub_retry", "pubsub_unsubscribe",
         "pubsub_quiesce", "pubsub_closed", "life", "many_components"],
        ["-t", "state.aws.dynamodb", "aws"],
        ["-t", "secretstores.aws.secretsmanager", "aws", "secret_missing", "life", "many_components"],
        ["-t", "secretstores.aws.parameterstore", "aws", "secret_missing", "life", "many_components"],
        ["conversation-echo"], ["crypto"], ["-t", "crypto.dapr.jwks", "crypto", "crypto_", "life", "many_components"],
        ["-t", "nameresolution.sqlite", "sqlite", "name_", "life", "many_components"],
        ["-t", "nameresolution.dns", "names", "name_"], ["-t", "nameresolution.nameformat", "names", "name_"], ["llm"],
        ["-t", "conversation.anthropic", "llm", "conversation_"], ["-t", "conversation.googleai", "llm", "conversation_"],
        ["-t", "conversation.aws.bedrock", "llm", "conversation_"],
        ["middleware"], ["-t", "middleware.http.routeralias", "middleware", "middleware_"],
        ["-t", "middleware.http.routerchecker", "middleware", "middleware_"],
        ["-t", "middleware.http.uppercase", "middleware", "middleware_"], ["bearer"],
        [PYTHON], ["-t", "test.python-example", PYTHON]]

passed = failed = 0
redis = redis_fixture.Redis()
os.environ["REDIS_HOST"] = f"127.0.0.1:{redis.port}"
rows = configuration_stores.Postgres()
os.environ["POSTGRESQL"] = f"host=127.0.0.1 port={rows.server.port} user=postgres dbname=postgres"
os.environ["MYSQL_ADDRESS"] = mariadb.MariaDB("--max-allowed-packet=64M").address()
os.environ["MEMCACHED_ADDRESS"] = memcached.Memcached("-I", "64m", "-m", "512").address
os.environ["MQTT_URL"] = mosquitto.Mosquitto().url
os.environ["KAFKA_BROKERS"] = kafka_node.Kafka().address()
os.environ["RABBITMQ_URL"] = rabbitmq.RabbitMQ().url
os.environ["CONSUL_ADDRESS"] = consul.Agent().address
for kind, name in (("openai", "OPENAI"), ("anthropic", "ANTHROPIC"), ("googleai", "GOOGLEAI"),
                   ("aws.bedrock", "BEDROCK")):
    provider = providers.KINDS[kind]()
    os.environ[f"{name}_ENDPOINT"], os.environ[f"{name}_KEY"] = provider.endpoint, provider.key
aws = servers.Aws()
aws.call("s3", "create_bucket", Bucket="conform")
aws.call("sqs", "create_queue", QueueName="conform", Attributes={"VisibilityTimeout": "600"})
aws.call("dynamodb", "create_table", TableName="conform", KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
         AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}], BillingMode="PAY_PER_REQUEST")
os.environ.update(AWS_URL=aws.url, AWS_KEY=aws.access_key, AWS_SECRET=aws.secret_key)
keys = http_app.App(lambda *_: http_app.answer(200, b'{"keys":[]}'))
os.environ["JWKS_URL"] = f"http://127.0.0.1:{keys.port}/keys"
secrets = vault.Vault()
cluster = kubernetes.ApiServer()
for name, value in held.SECRETS.items():
    secrets.put(f"dapr/{name}", {name: value})
    cluster.put("conform", name, {name: value})
os.environ["VAULT_ADDR"], os.environ["VAULT_TOKEN"] = secrets.url, secrets.token
os.environ["KUBECONFIG"] = cluster.kubeconfig(remora.Folder(), {"token": cluster.token})
for run in RUNS:
    print("#", *run, flush=True)
    out = subprocess.run([JUDGE, "--build", BUILD] + run, capture_output=True, text=True)
    print(out.stdout, out.stderr, sep="")
    found = re.search(r"^(\d+) passed, (\d+) failed$", out.stdout, re.M)
    passed += int(found.group(1)) if found else 0
    failed += int(found.group(2)) if found else 1
redis.close()
remora.end_all()
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
