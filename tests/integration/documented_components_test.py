#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Metadata as the reference documents it, names and values: every component gets past them, as far as its server."""

import socket

from remora import Folder, Sidecar, component, eventually, main, need, test

REDIS = {"redisHost": "{address}", "redisPassword": "", "redisUsername": "default", "enableTLS": "false",
         "redisType": "node", "redisDB": 0, "redisMaxRetries": "5", "redisMinRetryInterval": "8ms",
         "redisMaxRetryInterval": "5s", "dialTimeout": "5s", "readTimeout": "3", "writeTimeout": "3s", "poolSize": 20,
         "poolTimeout": "5s", "maxConnAge": "30m", "minIdleConns": "2", "idleCheckFrequency": "-1",
         "idleTimeout": "10m", "failover": "false", "sentinelMasterName": "mymaster"}
POSTGRESQL = {"connectionString": "host=127.0.0.1 user=postgres password=example port={port} connect_timeout=10 "
                                  "database=dapr_test", "timeout": "30", "maxConns": "4",
              "connectionMaxIdleTime": "5m", "queryExecMode": "cache_describe"}
KAFKA = {"brokers": "{address}", "consumerGroup": "group1", "clientID": "my-dapr-app-id", "authType": "password",
         "saslUsername": "adminuser", "saslPassword": "KeFg23!", "saslMechanism": "SHA-512", "initialOffset": "oldest",
         "maxMessageBytes": 1024, "consumeRetryInterval": "200ms", "consumeRetryEnabled": "true",
         "heartbeatInterval": "5s", "sessionTimeout": "15s", "version": "0.10.2.0", "disableTls": "true",
         "skipVerify": "false", "consumerFetchMin": 1, "consumerFetchDefault": 2097152, "channelBufferSize": 512,
         "clientConnectionTopicMetadataRefreshInterval": "4m", "clientConnectionKeepAliveInterval": "4m",
         "escapeHeaders": False, "schemaRegistryURL": "http://localhost:8081", "useAvroJson": "true",
         "consumerGroupRebalanceStrategy": "Range"}
MQTT = {"url": "tcp://admin:public@{address}", "qos": 1, "retain": "false", "cleanSession": "false", "consumerID": "{uuid}"}
DOCUMENTED = [
    ("state.redis", "v1", {**REDIS, "redeliverInterval": "30s", "processingTimeout": "30s", "ttlInSeconds": "600"}),
    ("pubsub.redis", "v1", {**REDIS, "consumerID": "myGroup", "redeliverInterval": "30s", "processingTimeout": "30s",
                            "queueDepth": "1000", "concurrency": "15", "maxLenApprox": "10000", "ackOnError": "true"}),
    ("configuration.redis", "v1", REDIS),
    ("lock.redis", "v1", REDIS),
    ("bindings.redis", "v1", REDIS),
    ("state.postgresql", "v1", {**POSTGRESQL, "tableName": "public.state", "metadataTableName": "public.dapr_metadata",
                                "cleanupInterval": "1800"}),
    ("state.postgresql", "v2", {**POSTGRESQL, "metadataTableName": "public.dapr_metadata", "cleanupInterval": 1800}),
    ("state.mysql", "v1", {"connectionString": "root:example@tcp({address})/?allowNativePasswords=true",
                           "schemaName": "custom_schema", "tableName": "table_name", "timeoutInSeconds": "30",
                           "metadataTableName": "dapr_metadata", "cleanupInterval": "20m"}),
    ("state.sqlite", "v1", {"connectionString": "{folder}/data.db", "timeout": "20s", "busyTimeout": "2s",
                            "disableWAL": False, "tableName": "state", "metadataTableName": "metadata",
                            "cleanupInterval": "0s"}),
    ("pubsub.kafka", "v1", KAFKA),
    ("pubsub.rabbitmq", "v1", {"connectionString": "amqp://user:password@{address}", "protocol": "amqp",
                               "durable": "true", "publisherConfirm": "true", "maxLen": 1000, "maxLenBytes": 1048576,
                               "concurrency": "single", "enableDeadLetter": "true", "prefetchCount": 2,
                               "exchangeKind": "topic", "deliveryMode": 2, "autoAck": "false",
                               "deletedWhenUnused": "false", "requeueInFailure": "true", "saslExternal": "false",
                               "ttlInSeconds": "60"}),
    ("pubsub.mqtt3", "v1", MQTT),
    ("pubsub.aws.snssqs", "v1", {"accessKey": "AKIAIOSFODNN7EXAMPLE", "secretKey": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                 "region": "us-east-1", "endpoint": "http://{address}", "sessionToken": "TOKEN",
                                 "consumerID": "should-be-unique", "messageVisibilityTimeout": 10, "messageRetryLimit": 10,
                                 "messageReceiveLimit": 10, "sqsDeadLettersQueueName": "myapp-dlq",
                                 "messageWaitTimeSeconds": 1, "messageMaxNumber": 10, "fifo": "true",
                                 "fifoMessageGroupID": "app1-mgi", "disableEntityManagement": "false",
                                 "disableDeleteOnRetryLimit": "false", "assetsManagementTimeoutSeconds": 0.5,
                                 "concurrencyMode": "single", "accountId": ""}),
    ("pubsub.in-memory", "v1", {}),
    ("state.in-memory", "v1", {}),
    ("state.memcached", "v1", {"hosts": "{address}", "maxIdleConnections": 2, "timeout": 1000}),
    ("configuration.postgresql", "v1", {**POSTGRESQL, "table": "configtable", "connMaxIdleTime": "15s"}),
    ("secretstores.hashicorp.vault", "v1", {"vaultAddr": "https://{address}", "caCert": "", "caPath": "", "caPem": "",
                                            "skipVerify": False, "tlsServerName": "vault.local", "vaultToken": "s.token",
                                            "vaultKVPrefix": "dapr", "vaultKVUsePrefix": True, "enginePath": "secret",
                                            "vaultValueType": "map", "vaultNamespace": "ns"}),
    ("state.aws.dynamodb", "v1", {"table": "Contracts", "accessKey": "AKIA", "secretKey": "k", "endpoint": "http://{address}",
                                  "region": "eu-west-1", "sessionToken": "myTOKEN", "ttlAttributeName": "expiresAt",
                                  "partitionKey": "ContractID", "actorStateStore": "true"}),
    ("secretstores.aws.secretsmanager", "v1", {"region": "us-east-1", "accessKey": "AKIA", "secretKey": "k", "sessionToken": "t",
                                               "endpoint": "http://{address}", "multipleKeyValuesPerSecret": "true"}),
    ("secretstores.aws.parameterstore", "v1", {"region": "us-east-1", "accessKey": "AKIA", "secretKey": "k", "sessionToken": "t",
                                               "prefix": "myprefix"}),
    ("secretstores.local.file", "v1", {"secretsFile": "{secrets}", "nestedSeparator": ":", "multiValued": "false"}),
    ("secretstores.local.env", "v1", {"secretsPrefix": "MYAPP_"}),
    ("bindings.cron", "v1", {"schedule": "@every 15m", "direction": "input"}),
    ("bindings.http", "v1", {"url": "http://{address}/api", "method": "GET", "responseTimeout": "10s", "direction": "output",
                             "errorIfNot2XX": "false", "securityToken": "t", "securityTokenHeader": "Authorization: Bearer"}),
    ("bindings.localstorage", "v1", {"rootPath": "{folder}", "direction": "output"}),
    ("bindings.mqtt3", "v1", {**MQTT, "topic": "mytopic", "cleanSession": "true", "backOffMaxRetries": "0",
                              "direction": "input, output"}),
    ("bindings.kafka", "v1", {**KAFKA, "topics": "topic1,topic2", "publishTopic": "topic3", "direction": "input, output"}),
    ("bindings.rabbitmq", "v1", {"queueName": "queue1", "host": "amqp://admin:pw@{address}", "durable": "true",
                                 "deleteWhenUnused": "false", "ttlInSeconds": 60, "prefetchCount": 0, "exclusive": "false",
                                 "maxPriority": 5, "contentType": "text/plain", "reconnectWaitInSeconds": 5,
                                 "externalSasl": "false", "caCert": None, "clientCert": None, "clientKey": None,
                                 "direction": "input, output"}),
    ("bindings.postgresql", "v1", {"connectionString": "user=postgres password=example host=127.0.0.1 port={port} database=d",
                                   "direction": "output"}),
    ("bindings.smtp", "v1", {"host": "smtp.example.org", "port": "25", "user": "me", "password": "pw", "skipTLSVerify": "true",
                             "emailFrom": "sender@example.org", "emailTo": "receiver@example.org", "emailCC": "cc@example.org",
                             "emailBCC": "bcc@example.org", "subject": "subject", "priority": "1", "direction": "output"}),
    ("middleware.http.ratelimit", "v1", {"maxRequestsPerSecond": 10}),
    ("middleware.http.routerchecker", "v1", {"rule": "^[A-Za-z0-9/._-]+$"}),
    ("middleware.http.uppercase", "v1", {}),
    ("middleware.http.routeralias", "v1", {"routes": '{"/mall/activity/info": "/v1.0/invoke/srv.default/method/mall/activity/info"}'}),
    ("crypto.dapr.localstorage", "v1", {"path": "{folder}"}),
    ("crypto.dapr.jwks", "v1", {"jwks": '{"keys": []}', "requestTimeout": "30s", "minRefreshInterval": "10m"}),
]
# What a parser of metadata says; a server that is away is another matter.
AWAY = ("refused", "Couldn't connect", "no connection can be made", "Can't connect to server")
COMPLAINTS = ("invalid", "parse", "decod", "not supported", "is missing", "missing ", "unknown", "must be", "not a ")


def closed_port():
    """A port that is taken, where nobody listens; with the socket that holds it."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    return held, held.getsockname()[1]


def away(log):
    return any(words in log for words in AWAY)


def filled(value, port, folder):
    if not isinstance(value, str):
        return value
    places = {"{address}": f"127.0.0.1:{port}", "{port}": str(port), "{folder}": str(folder.path),
              "{secrets}": folder.write("secrets.json", '{"a": "b"}')}
    for name, text in places.items():
        value = value.replace(name, text)
    return value


def documented(type_, version, metadata):
    held, port = closed_port()
    folder = Folder()
    pairs = {name: filled(value, port, folder) for name, value in metadata.items()}
    sidecar = Sidecar(component("shown", type_, pairs, version=version), folder=folder, wait=False)
    eventually(lambda: "dapr initialized" in sidecar.log() or not sidecar.is_alive() or away(sidecar.log()), "it is started")
    log = sidecar.log()
    need("dapr initialized" in log or away(log), f"it did not get to its server: {log[-1500:]}")
    for line in log.splitlines():
        if "level=error" in line or "level=fatal" in line:
            need(not any(words in line.lower() for words in COMPLAINTS), line)
    sidecar.kill()
    held.close()


for row in DOCUMENTED:
    test(f"{row[0]}/{row[1]} with documented names and values gets to its server")(lambda row=row: documented(*row))


if __name__ == "__main__":
    main()
