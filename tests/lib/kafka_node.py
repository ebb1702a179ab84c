# SPDX-License-Identifier: Apache-2.0
"""A private Kafka node, broker and controller in one, with ports and data of its own. It takes some seconds to start, so
that a program of tests has one. stop() is SIGKILL; start() brings it back with what it had on the disk. Clients that are
not ours come from kafka-python."""
import base64
import glob
import os
import shutil
import socket
import subprocess
import sys
import uuid

from remora import Folder, Process, Skip, eventually, free_port

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
JARS = os.path.join(TOP, "build", "kafka")
START_S = 120  # on a loaded machine
USER, PASSWORD = "remora", "correct-horse"
# Started often and used little: no time for the optimising compiler.
JAVA = ["java", "-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
        "-Dlog4j2.level=OFF", "-cp", os.path.join(JARS, "*")]


def client():
    """The module `kafka` of kafka-python, from build/venv whichever Python this is."""
    for folder in glob.glob(os.path.join(TOP, "build", "venv", "lib", "python3*", "site-packages")):
        if folder not in sys.path:
            sys.path.append(folder)
    try:
        import kafka
    except ImportError:
        raise Skip("kafka-python is not in build/venv, `make deps-test` puts it there") from None
    return kafka


class Kafka:
    """`tls`: (certificate chain and key in one PEM, authorities in PEM), as texts: TLS too, with and without passwords."""

    def __init__(self, tls=None, **settings):
        if shutil.which("java") is None or not os.path.exists(os.path.join(JARS, ".checksums")):
            raise Skip("Kafka is not in build/kafka, `make deps-test` puts it there")
        self.folder = Folder()
        names = ["PLAINTEXT", "SASL_PLAINTEXT"] + (["SSL", "SASL_SSL"] if tls else [])
        self.ports = {name: free_port() for name in names}
        self.port = self.ports["PLAINTEXT"]
        self.configuration = self.folder.write("server.properties", self.properties(tls, settings))
        self.process = None
        self.format()
        self.start()

    def address(self, listener="PLAINTEXT"):
        # The certificate is for this name; without TLS no name need be found.
        return f"{'localhost' if 'SSL' in listener else '127.0.0.1'}:{self.ports[listener]}"

    def properties(self, tls, settings):
        controller = free_port()
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self.ports.items())
        advertised = ",".join(f"{name}://{self.address(name)}" for name in self.ports)
        values = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": advertised,
            "inter.broker.listener.name": "PLAINTEXT",
            "listener.security.protocol.map": ",".join(f"{name}:{name}" for name in self.ports) + ",CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / "data",
            "num.partitions": 1,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "group.initial.rebalance.delay.ms": 0,
            # One that was killed is let in again once the controller has missed it for so long; one that has no time for
            # a beat on a loaded machine must not be missed.
            "broker.heartbeat.interval.ms": 500,
            "broker.session.timeout.ms": 6000,
            "group.min.session.timeout.ms": 1000,
            "log.cleaner.enable": "false",
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        }
        for name in self.ports:
            if not name.startswith("SASL"):
                continue
            prefix = f"listener.name.{name.lower()}"
            values[f"{prefix}.plain.sasl.jaas.config"] = (
                "org.apache.kafka.common.security.plain.PlainLoginModule required "
                f'user_{USER}="{PASSWORD}";')
            for scram in ("scram-sha-256", "scram-sha-512"):
                values[f"{prefix}.{scram}.sasl.jaas.config"] = (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;")
        if tls:
            self.folder.write("identity.pem", tls[0])
            self.folder.write("authorities.pem", tls[1])
            values.update({
                "ssl.keystore.type": "PEM", "ssl.keystore.location": self.folder / "identity.pem",
                "ssl.truststore.type": "PEM", "ssl.truststore.location": self.folder / "authorities.pem",
                "listener.name.ssl.ssl.client.auth": "required"})
        values.update(settings)
        return "".join(f"{name}={value}\n" for name, value in values.items())

    def format(self):
        """Gives the data folder its identity, and the node its users."""
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # One word: an identity may begin with a dash.
        command = JAVA + ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", self.configuration]
        for scram in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            command += ["--add-scram", f"{scram}=[name={USER},password={PASSWORD}]"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.folder.path, timeout=START_S)
        if done.returncode != 0:
            raise AssertionError(f"the Kafka node cannot be made:\n{done.stdout}{done.stderr}")

    def start(self, wait=True):
        self.process = Process(JAVA + ["kafka.Kafka", self.configuration], self.folder)
        if wait:
            eventually(self.answers, "the Kafka node answers", START_S)
        return self

    def answers(self):
        if not self.process.is_alive():
            raise AssertionError(f"the Kafka node has ended:\n{self.process.log()[-3000:]}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as s:
                s.sendall(bytes.fromhex("0000000c 0012 0000 00000001 0002 7478".replace(" ", "")))  # ApiVersions
                return len(s.recv(4)) == 4
        except OSError:
            return False

    def stop(self):
        self.process.kill()

    # --- through eyes that are not ours -----------------------------------------------------------------------------

    def create(self, topic, partitions=1):
        admin = client().KafkaAdminClient(bootstrap_servers=self.address())
        try:
            from kafka.admin import NewTopic

            admin.create_topics([NewTopic(topic, partitions, 1)])
        finally:
            admin.close()

    def produce(self, topic, value, key=None, headers=(), partition=None):
        producer = client().KafkaProducer(bootstrap_servers=self.address())
        try:
            return producer.send(topic, value, key, list(headers), partition).get(30)
        finally:
            producer.close()

    def records(self, topic, count, seconds=30):
        """The first ones of a topic, of all its partitions, in the order in which they came."""
        consumer = client().KafkaConsumer(topic, bootstrap_servers=self.address(), auto_offset_reset="earliest",
                                          enable_auto_commit=False, consumer_timeout_ms=seconds * 1000)
        got = []
        try:
            for record in consumer:
                got.append(record)
                if len(got) == count:
                    break
        finally:
            consumer.close()
        return got

    def committed(self, group):
        """Offsets of the group by (topic, partition)."""
        admin = client().KafkaAdminClient(bootstrap_servers=self.address())
        try:
            offsets = admin.list_group_offsets([group])[group]
        except client().errors.KafkaError:  # nobody has committed anything yet
            return {}
        finally:
            admin.close()
        return {(at.topic, at.partition): told.offset for at, told in offsets.items()}

    def members(self, group):
        """What each member of the group has: lists of (topic, partition); none while they are shared out."""
        admin = client().KafkaAdminClient(bootstrap_servers=self.address())
        try:
            told = admin.describe_groups([group])[group]
        finally:
            admin.close()
        if told["group_state"] != "Stable":
            return []
        return [[(one["topic"], number) for one in member["member_assignment"]["assigned_partitions"]
                 for number in one["partitions"]] for member in told["members"]]
