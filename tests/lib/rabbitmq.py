# SPDX-License-Identifier: Apache-2.0
"""A private RabbitMQ server: node, ports, port mapper and data of its own. It takes seconds to start, so that a program
of tests has one. stop() is SIGKILL; start() brings it back with what it had on the disk."""
import importlib.util
import os
import shutil
import signal
import socket
import sys

from remora import DEADLINE_S, Folder, Process, Skip, _live, eventually, free_port

SCRIPT = "/usr/lib/rabbitmq/bin/rabbitmq-server"
START_S = 120  # on a loaded machine


def pika():
    """An AMQP client that is not ours, as Debian has it, whichever Python this is."""
    if "pika" not in sys.modules and importlib.util.find_spec("pika") is None:
        folder = "/usr/lib/python3/dist-packages/pika"
        if not os.path.exists(folder):
            raise Skip("python3-pika is not installed")
        spec = importlib.util.spec_from_file_location("pika", f"{folder}/__init__.py", submodule_search_locations=[folder])
        sys.modules["pika"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["pika"])
    return importlib.import_module("pika")


class RabbitMQ:
    def __init__(self, tls=None):
        """`tls`: (certificate, key, authorities): amqps too, on `tls_port`, where certificates may log in."""
        if not os.path.exists(SCRIPT) or shutil.which("epmd") is None:
            raise Skip("rabbitmq-server is not installed")
        self.folder = Folder()
        self.port, self.mapper_port, self.dist_port = free_port(), free_port(), free_port()
        self.tls_port = free_port() if tls else None
        # In the foreground, so that it is ours and ends with us; the node would leave one behind.
        self.mapper = Process(["epmd", "-port", str(self.mapper_port), "-address", "127.0.0.1"], self.folder)
        lines = [f"listeners.tcp.1 = 127.0.0.1:{self.port}", "loopback_users = none", "log.console = true",
                 "log.console.level = warning", "log.file = false", "vm_memory_high_watermark.absolute = 1GB",
                 "disk_free_limit.absolute = 1MB"]
        if tls:
            lines += [f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}", f"ssl_options.certfile = {tls[0]}",
                      f"ssl_options.keyfile = {tls[1]}", f"ssl_options.cacertfile = {tls[2]}",
                      "ssl_options.verify = verify_peer", "ssl_options.fail_if_no_peer_cert = false",
                      "auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = EXTERNAL", "ssl_cert_login_from = common_name"]
        self.configuration = self.folder.write("rabbitmq.conf", "\n".join(lines) + "\n")
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": self.folder.path, "LANG": "C.UTF-8",
            # The script becomes the server instead of waiting for it: one process, whose number is known.
            "RUNNING_UNDER_SYSTEMD": "1",
            "ERL_EPMD_PORT": str(self.mapper_port), "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_CRASH_DUMP_BYTES": "0",
            "RABBITMQ_NODENAME": f"t{self.port}@localhost", "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_CONFIG_FILE": self.configuration, "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder / "logs",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder.write(
                "plugins", "[rabbitmq_auth_mechanism_ssl].\n" if tls else "[].\n"),
            "RABBITMQ_PID_FILE": self.folder / "pid",
            # No busy waiting: the machine is shared.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "-kernel inet_dist_use_interface {127,0,0,1} +sbwt none +sbwtdcpu none +sbwtdio none",
        }
        self.process = None
        eventually(self.maps, "the port mapper listens")  # without one the node would start its own
        self.start()

    def maps(self):
        try:
            socket.create_connection(("127.0.0.1", self.mapper_port), DEADLINE_S).close()
            return True
        except OSError:
            return False

    @property
    def url(self):
        return f"amqp://guest:guest@127.0.0.1:{self.port}"

    def start(self, wait=True):
        self.process = Process([SCRIPT], self.folder, env=self.environment)
        if wait:
            eventually(self.answers, "rabbitmq-server answers", START_S)
        return self

    def answers(self):
        """It greets those who speak its protocol."""
        if not self.process.is_alive():
            raise AssertionError(f"rabbitmq-server has ended:\n{self.process.log()[-3000:]}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), DEADLINE_S) as s:
                s.sendall(b"AMQP\0\0\x09\x01")
                return s.recv(1) == b"\1"
        except OSError:
            return False

    def stop(self):
        self.process.kill()
        _live.remove(self.process)

    def control(self, *words):
        """A command to the node; slow: each is a virtual machine of its own."""
        done = Process(["/usr/lib/rabbitmq/bin/rabbitmqctl", "-n", self.environment["RABBITMQ_NODENAME"], *words], self.folder,
                       env=self.environment)
        if done.wait(START_S) != 0:
            raise AssertionError(f"rabbitmqctl {words}: {done.log()}")
        return done.log()

    def connect(self):
        """A connection of pika's, to be closed."""
        return pika().BlockingConnection(pika().URLParameters(self.url))

    def use(self, do):
        """What `do` returns, given a channel."""
        connection = self.connect()
        try:
            return do(connection.channel())
        finally:
            connection.close()

    def consumers(self, queue):
        """-1: there is no such queue."""
        try:
            return self.use(lambda channel: channel.queue_declare(queue, passive=True).method.consumer_count)
        except pika().exceptions.ChannelClosedByBroker:
            return -1

    def ready(self, queue):
        """Messages that wait in it for somebody."""
        return self.use(lambda channel: channel.queue_declare(queue, passive=True).method.message_count)

    def pause(self):
        self.process.signal(signal.SIGSTOP)

    def resume(self):
        self.process.signal(signal.SIGCONT)
