# SPDX-License-Identifier: Apache-2.0
"""Applications that `remora run` starts on one machine call each other, without anything configured. timeout: 120"""
import os
import shutil
import signal
import sys

from launcher import REMORA, Bed
from remora import TOP, Process, Skip, component, equal, free_port, main, need, test

QUIET = ["--log-level", "error"]
QUICKSTART = os.path.join(TOP, "deploy", "quickstart")
ANSWERS = [f"order {number} passed" for number in range(1, 11)]


def bed_with_apps():
    bed = Bed()
    for name in ("processor.py", "checkout.py", "mesh.yaml"):
        shutil.copy(os.path.join(QUICKSTART, name), bed.work)
    os.mkdir(os.path.join(bed.work, "mine"))
    with open(os.path.join(bed.work, "mine", "mem.yaml"), "w") as f:
        f.write(component("mine", "state.in-memory"))
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
    processor = bed.start("run", *QUIET, "-a", "order-processor", "-p", str(free_port()), "--", sys.executable, "processor.py").up()
    for more in ([], ["--resources-path", "mine"]):
        checkout = bed.start("run", *QUIET, *more, "-a", "checkout", "--", sys.executable, "checkout.py")
        ends(checkout)
        equal(checkout.app_lines(), ANSWERS)
    processor.has_said("got order 10 from checkout")
    stop(processor)
    with open(bed.folder / "data/remora/config.yaml") as f:
        need(f'"{bed.folder.path}/data/remora/data/names.db"' in f.read(), "names are in a file of their own")


@test("applications of a run file call each other", "T-INV-2 T-INV-9 INV-08 GEN-22")
def run_file():
    bed = bed_with_apps()
    path = os.path.join(bed.work, "mesh.yaml")
    with open(path) as f:
        text = f.read()
    need("appPort: 7001" in text and '"python3"' in text, text)
    with open(path, "w") as f:
        f.write(text.replace("7001", str(free_port())).replace('"python3"', f'"{sys.executable}"'))
    launcher = bed.start("run", "-f", path)
    launcher.up("order 10 passed")
    log = launcher.log()
    for answer in ANSWERS:
        need(answer in log, f"{answer!r}:\n{log[-3000:]}")
    equal([one["appId"] for one in bed.list() if one["appId"] == "order-processor"], ["order-processor"])
    code, out, _ = bed.look("stop", "order-processor")
    equal(code, 0, out)
    stop(launcher)


@test("on a machine without any network they find each other too", "T-INV-9 INV-08")
def without_network():
    bed = bed_with_apps()
    with open(os.path.join(bed.work, "both.sh"), "w") as f:
        f.write(f"""ip link set lo up || exit 77
{REMORA} run --log-level error -a order-processor -p {free_port()} -- {sys.executable} processor.py & processor=$!
{REMORA} run --log-level error -a checkout -- {sys.executable} checkout.py
code=$?
kill $processor; wait $processor
exit $code
""")
    both = Process(["unshare", "-rn", "sh", "both.sh"], bed.folder, env=bed.env(), cwd=bed.work)
    code = both.wait(90)
    if code == 77 or "unshare" in both.log():
        raise Skip("no network namespace can be made here")
    equal(code, 0, both.log()[-3000:])
    equal([line[len("== APP == "):] for line in both.log().splitlines() if line.endswith(" passed")], ANSWERS)


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
