# SPDX-License-Identifier: Apache-2.0
"""Private MariaDB servers for tests, their data in a folder that outlives kills."""
import getpass
import os
import shutil
import signal
import subprocess
import tempfile

from remora import BUILD, DEADLINE_S, Folder, Process, Skip, component, eventually, free_port, need

PLACES = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
# Small files, and nothing that waits for a disk: what a killed server has written to its files stays with the machine.
FAST = ["--innodb-log-file-size=8M", "--innodb-data-file-path=ibdata1:4M:autoextend", "--innodb-temp-data-file-path=ibtmp1:4M:autoextend",
        "--innodb-buffer-pool-size=24M", "--innodb-flush-log-at-trx-commit=2", "--innodb-flush-method=nosync",
        "--innodb-doublewrite=0", "--innodb-autoextend-increment=1", "--key-buffer-size=1M", "--aria-pagecache-buffer-size=1M", "--performance-schema=0"]


def empty_data(program, user):
    """The folder of a server that has nothing yet. Making one takes seconds, so it is made once and copied."""
    kept = os.path.join(BUILD, f"mariadb-data-{int(os.stat(program).st_mtime)}")
    if not os.path.isdir(kept):
        made = tempfile.mkdtemp(prefix="mariadb-data.", dir=BUILD)
        done = subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={made}", f"--user={user}", *FAST, "--skip-test-db",
                               "--auth-root-authentication-method=normal", "--skip-name-resolve"], capture_output=True, text=True,
                              cwd=made, check=False)
        need(done.returncode == 0, done.stdout + done.stderr)
        try:
            os.rename(made, kept)
        except OSError:  # somebody else was faster
            shutil.rmtree(made)
    return kept


class MariaDB(Process):
    """stop() and start() keep port and data; so does kill(). `options` are its own, after ours."""

    user, password = "remora", "s3cret@word:/"

    def __init__(self, *options):
        self.program = shutil.which("mariadbd", path=PLACES)
        if self.program is None or shutil.which("mariadb") is None:
            raise Skip("MariaDB is not installed")
        self.folder = Folder()
        self.port = free_port()
        self.options = options
        self.base = ["--no-defaults", f"--datadir={self.folder / 'data'}", f"--user={getpass.getuser()}"]
        shutil.copytree(empty_data(self.program, getpass.getuser()), self.folder / "data")
        self.start()
        self.run(f"CREATE USER '{self.user}'@'%' IDENTIFIED BY '{self.password}'; GRANT ALL ON *.* TO '{self.user}'@'%'")

    def start(self):
        super().__init__([self.program, *self.base, f"--port={self.port}", "--bind-address=127.0.0.1", "--skip-name-resolve",
                          f"--socket={self.folder / 'sock'}", f"--pid-file={self.folder / 'pid'}", *FAST, *self.options],
                         self.folder)
        eventually(lambda: self.ask("SELECT 1").returncode == 0, f"mariadbd answers: {self.log_path}", 60)
        return self

    def stop(self):
        self.signal(signal.SIGTERM)
        self.wait(DEADLINE_S)

    def ask(self, sql, schema=""):
        return subprocess.run(["mariadb", "--no-defaults", f"--socket={self.folder / 'sock'}", "-uroot", "--batch", "--raw",
                               "--skip-column-names", "--default-character-set=utf8mb4", schema],
                              input=sql, capture_output=True, text=True, check=False)

    def run(self, sql, schema=""):
        """Rows of texts."""
        done = self.ask(sql, schema)
        need(done.returncode == 0, done.stderr)
        return [tuple(line.split("\t")) for line in done.stdout.splitlines()]

    def address(self, **parameters):
        """As a component's connectionString."""
        more = "&".join(f"{name}={value}" for name, value in {"allowNativePasswords": "true", **parameters}.items())
        return f"{self.user}:{self.password}@tcp(127.0.0.1:{self.port})/?{more}"

    def component(self, name="mys", **metadata):
        return component(name, "state.mysql", {"connectionString": self.address(), **metadata})
