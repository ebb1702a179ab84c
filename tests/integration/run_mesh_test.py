# SPDX-License-Identifier: Apache-2.0
"""Applications that `remora run` starts on one machine call each other, without anything configured. timeout: 120"""
import os
import signal
import sys

from launcher import REMORA, Bed
from remora import Process, Skip, component, equal, free_port, main, need, test

QUIET = ["--log-level", "error"]
PROCESSOR = """
import http.server, os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Orders(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        order = self.rfile.read(int(self.headers["Content-Length"]))
        answer = order + b" for " + self.headers["dapr-callee-app-id"].encode() + b" at " + self.path.encode()
        print("got", order.decode(), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def do_GET(self):
        self.send_error(404)
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["APP_PORT"])), Orders).serve_forever()
"""
CHECKOUT = """
import os, sys, time, urllib.error, urllib.request
def order(number):
    url = f"http://127.0.0.1:{os.environ['DAPR_HTTP_PORT']}/v1.0/invoke/{sys.argv[1]}/method/orders"
    return urllib.request.urlopen(urllib.request.Request(url, b"order %d" % number)).read().decode()
until = time.monotonic() + 60
while True:  # the other one may start later
    try:
        order(0)
        break
    except urllib.error.HTTPError:
        if time.monotonic() > until:
            raise
        time.sleep(0.05)
for number in range(1, 11):
    print("answer:", order(number), flush=True)
"""
ANSWERS = [f"answer: order {number} for order-processor at /orders" for number in range(1, 11)]


def bed_with_apps():
    bed = Bed()
    for name, text in (("order-processor/app.py", PROCESSOR), ("checkout/app.py", CHECKOUT), ("mine/mem.yaml",
                                                                                                component("mine", "state.in-memory"))):
        os.makedirs(os.path.dirname(os.path.join(bed.work, name)), exist_ok=True)
        with open(os.path.join(bed.work, name), "w") as f:
            f.write(text)
    return bed


def ends(launcher, code=0):
    equal(launcher.wait(60), code, launcher.log()[-3000:])


def stop(launcher):
    launcher.signal(signal.SIGTERM)
    launcher.wait()


@test("two applications that were started by themselves find each other, with the default resources or their own",
      "T-INV-1 T-INV-9 INV-08")
def by_themselves():
    bed = bed_with_apps()
    processor = bed.start("run", *QUIET, "-a", "order-processor", "-p", str(free_port()), "--", sys.executable,
                          "order-processor/app.py").up()
    for more in ([], ["--resources-path", "mine"]):
        checkout = bed.start("run", *QUIET, *more, "-a", "checkout", "--", sys.executable, "checkout/app.py", "order-processor")
        ends(checkout)
        equal(checkout.app_lines(), ANSWERS)
    processor.has_said("got order 10")
    stop(processor)
    with open(bed.folder / "data/remora/config.yaml") as f:
        need(f'"{bed.folder.path}/data/remora/data/names.db"' in f.read(), "names are in a file of their own")


@test("applications of a run file call each other", "T-INV-2 T-INV-9 INV-08 GEN-22")
def run_file():
    bed = bed_with_apps()
    with open(os.path.join(bed.work, "dapr.yaml"), "w") as f:
        f.write(f"""
version: 1
common:
  resourcesPath: mine
  daprdLogDestination: fileAndConsole
apps:
  - appID: checkout
    appDirPath: ./checkout
    command: [{sys.executable}, app.py, order-processor]
  - appID: order-processor
    appDirPath: ./order-processor
    appPort: {free_port()}
    command: [{sys.executable}, app.py]
""")
    launcher = bed.start("run", "-f", ".")
    launcher.up("answer: order 10")
    log = launcher.log()
    for answer in ANSWERS:
        need(answer in log, f"{answer!r}:\n{log[-3000:]}")
    equal(sorted(one["appId"] for one in bed.list() if one["appId"] == "order-processor"), ["order-processor"])
    code, out, _ = bed.look("stop", "order-processor")
    equal(code, 0, out)
    stop(launcher)


@test("on a machine without any network they find each other too", "T-INV-9 INV-08")
def without_network():
    bed = bed_with_apps()
    with open(os.path.join(bed.work, "both.sh"), "w") as f:
        f.write(f"""ip link set lo up || exit 77
{REMORA} run --log-level error -a order-processor -p {free_port()} -- {sys.executable} order-processor/app.py & processor=$!
{REMORA} run --log-level error -a checkout -- {sys.executable} checkout/app.py order-processor
code=$?
kill $processor; wait $processor
exit $code
""")
    both = Process(["unshare", "-rn", "sh", "both.sh"], bed.folder, env=bed.env(), cwd=bed.work)
    code = both.wait(90)
    if code == 77 or "unshare" in both.log():
        raise Skip("no network namespace can be made here")
    equal(code, 0, both.log()[-3000:])
    equal([line[len("== APP == "):] for line in both.log().splitlines() if "answer:" in line], ANSWERS)


@test("a configuration of one's own is used instead", "GEN-23")
def own_configuration():
    bed = bed_with_apps()
    with open(os.path.join(bed.work, "own.yaml"), "w") as f:
        f.write("apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: own\nspec:\n  nameResolution:\n"
                "    component: nameformat\n    configuration:\n      format: '{appid}.invalid'\n")
    launcher = bed.start("run", *QUIET, "-a", "alone", "--config", "own.yaml", "--resources-path", "mine", "--", "sleep", "600").up()
    need(not os.path.exists(bed.folder / "data"), "nothing was written for who brings everything")
    code, out, _ = bed.look("invoke", "--app-id", "alone", "--method", "x")
    need(code != 0, out)
    stop(launcher)


main()
