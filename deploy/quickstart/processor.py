# SPDX-License-Identifier: Apache-2.0
"""Takes orders that other applications send through their sidecars; the standard library is all it needs:

    remora run --app-id order-processor --app-port 7001 -- python3 processor.py
"""
import http.server
import os
import signal


class Orders(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        order = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print("got", order, "from", self.headers["dapr-caller-app-id"], flush=True)
        answer = f"{order} passed".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self):  # what the sidecar asks at its start
        self.send_error(404)

    def log_message(self, *words):
        pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["APP_PORT"])), Orders).serve_forever()
