# SPDX-License-Identifier: Apache-2.0
"""An application that speaks HTTP/1.1 over plain sockets, a thread a connection: it keeps every request byte for byte
and answers what it is told to, well-formed or not. Paths of /dapr/ are answered 404 and kept apart, unless a handler
says otherwise."""

import socket
import ssl
import subprocess
import threading

from remora import DEADLINE_S, Folder, _live, free_port


class Request:
    def __init__(self, line, headers, body, chunks):
        self.method, self.target, self.version = line.split(" ", 2)
        self.headers, self.body, self.chunks = headers, body, chunks  # chunks: None, or their sizes

    def header(self, name):
        return next((v for n, v in self.headers if n.lower() == name.lower()), None)

    def all(self, name):
        return [v for n, v in self.headers if n.lower() == name.lower()]

    def __repr__(self):
        return f"<{self.method} {self.target} {self.headers} {self.body[:200]!r}>"


def answer(status=200, body=b"", headers=(), reason="x"):
    """A whole answer with a length."""
    lines = [f"HTTP/1.1 {status} {reason}"] + [f"{n}: {v}" for n, v in headers]
    if status not in (204, 304):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Exchange:
    """One connection of the sidecar's; a handler may use the socket itself and return None."""

    def __init__(self, sock):
        self.socket, self.pending = sock, b""

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        data = self.socket.recv(1 << 18)
        self.pending += data
        return bool(data)

    def until(self, mark):
        while mark not in self.pending:
            if not self.more():
                raise EOFError
        head, _, self.pending = self.pending.partition(mark)
        return head

    def exactly(self, count):
        while len(self.pending) < count:
            if not self.more():
                raise EOFError
        data, self.pending = self.pending[:count], self.pending[count:]
        return data

    def head(self):
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(": "), "") for line in lines[1:]]
        return lines[0], headers

    def body(self, headers):
        names = {n.lower(): v for n, v in headers}
        if "chunked" not in names.get("transfer-encoding", ""):
            return self.exactly(int(names.get("content-length", 0))), None
        data, sizes = b"", []
        while True:
            size = int(self.until(b"\r\n"), 16)
            piece = self.exactly(size + 2)[:-2]
            if size == 0:
                return data, sizes
            data += piece
            sizes.append(size)


class App:
    """`handler(request, exchange)` returns the bytes to send, or None if it has sent them or wants the connection
    closed. With `streams` it is called before the body has been read."""

    def __init__(self, handler=None, port=None, tls=None, host="127.0.0.1", streams=False, start=True):
        self.handler = handler or (lambda request, exchange: answer(200, b"ok " + request.method.encode()))
        self.host, self.port, self.tls, self.streams = host, port or free_port(), tls, streams
        self.requests, self.asked = [], []
        self.connections = 0  # so far
        self.open = set()
        self.listening = None
        if start:
            self.start()
        _live.append(self)

    def start(self):
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self.listening = socket.create_server((self.host, self.port), family=family, backlog=512)
        threading.Thread(target=self.accept, args=(self.listening,), daemon=True).start()
        return self

    def stop(self):
        """Nobody listens any more, and open connections end."""
        if self.listening:
            try:
                self.listening.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.listening.close()
        self.listening = None
        for sock in list(self.open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has just ended by itself

    end = stop

    def accept(self, listening):
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(sock, listening), daemon=True).start()

    def serve(self, sock, listening):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        raw = sock
        self.open.add(raw)
        try:
            if self.tls:
                self.open.discard(raw)
                raw = sock = self.tls.wrap_socket(sock, server_side=True)
                self.open.add(raw)
            exchange = Exchange(sock)
            while self.listening is listening and self.one(exchange):
                pass
        except (EOFError, OSError, ValueError):
            pass
        finally:
            self.open.discard(raw)
            sock.close()

    def one(self, exchange):
        if not exchange.pending and not exchange.more():
            return False
        if exchange.pending.startswith(b"\x16"):  # TLS, which real servers answer as well
            exchange.send(b"HTTP/1.0 400 Bad Request\r\n\r\n")
            return False
        line, headers = exchange.head()
        streamed = self.streams and not line.split(" ")[1].startswith("/dapr/")
        body, chunks = (b"", None) if streamed else exchange.body(headers)
        request = Request(line, headers, body, chunks)
        if request.target.startswith("/dapr/"):
            self.asked.append(request)
            data = self.init(request)
        else:
            self.requests.append(request)
            data = self.handler(request, exchange)
        if data is None:
            return False
        exchange.send(data)
        return True

    @staticmethod
    def init(request):
        return answer(404)

    def take(self):
        """The requests since the last time."""
        taken, self.requests = self.requests, []
        return taken


def certificate():
    """Paths of a certificate that nobody knows and of its key."""
    folder = Folder()
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key]
        + ["-out", cert, "-days", "2", "-subj", "/CN=nobody.test"],
        check=True,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    return cert, key


def server_context(alpn=None):
    """TLS with such a certificate."""
    cert, key = certificate()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context
