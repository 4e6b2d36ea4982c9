"""Ordinary programs work although they can write to their own folders only; others' are safe."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from exitdrill.app.confine import landlock_version
from exitdrill.app.process import Ended, Place, run, words

pytestmark = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("copy", "scratch", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "outside" / "kept").write_text("as it was")
    scratch = tmp_path / "scratch"
    environment = {
        "PATH": os.environ["PATH"],
        **dict.fromkeys(("HOME", "TMPDIR"), str(scratch)),
        "OUT": str(tmp_path / "outside"),
    }
    return Place(tmp_path / "copy", environment, (tmp_path / "copy", scratch))


async def python(code: str, place: Place) -> Ended:
    (place.folder / "main.py").write_text(code)
    return await run(words(["{python}", "main.py"], place), b"", place, 30)


WORKS = {
    "a lock between processes": "import multiprocessing as m; m.Lock(); print('ok')",
    "a queue": "import multiprocessing as m; q = m.Queue(); q.put('ok'); print(q.get())",
    "a pool": """
import multiprocessing
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(str.lower, ["OK"])[0])
""",
    "an executor": """
from concurrent.futures import ProcessPoolExecutor
if __name__ == "__main__":
    with ProcessPoolExecutor(2) as pool:
        print(*pool.map(str.lower, ["OK"]))
""",
    "shared memory": """
from multiprocessing.shared_memory import SharedMemory
made = SharedMemory(create=True, size=2)
made.buf[:2] = b"ok"
again = SharedMemory(made.name)
print(bytes(again.buf[:2]).decode())
again.close(); made.close(); made.unlink()
""",
    "threads": "import threading as t; t.Thread(target=print, args=('ok',)).start()",
    "subprocesses of asyncio": """
import asyncio
async def main():
    await (await asyncio.create_subprocess_exec("echo", "ok")).wait()
asyncio.run(main())
""",
    "a Unix socket": """
import os, socket
server, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
server.bind("s"); server.listen(); client.connect("s")
server.accept()[0].send(b"ok"); print(client.recv(2).decode())
""",
    "sqlite": """
import sqlite3
db = sqlite3.connect("a.db")
db.execute("PRAGMA journal_mode = WAL"); db.execute("CREATE TABLE t (a)")
db.execute("INSERT INTO t VALUES ('ok')"); db.commit()
print(*db.execute("SELECT a FROM t").fetchone())
""",
    "temporary files": """
import tempfile
with tempfile.NamedTemporaryFile("w+") as file:
    file.write("ok"); file.seek(0); print(file.read())
""",
    "/dev/null and the standard streams": """
open("/dev/null", "w").write("x"); open("/dev/stdout", "w").write("ok\\n")
""",
    "a file between its folders": """
import os
open("a", "w").write("ok"); os.rename("a", os.environ["HOME"] + "/b")
print(open(os.environ["HOME"] + "/b").read())
""",
    "memory mapped files": """
import mmap
with open("m", "w+b") as file:
    file.truncate(2); mapped = mmap.mmap(file.fileno(), 2); mapped[:] = b"ok"
    mapped.flush(); print(open("m").read())
""",
}


@pytest.mark.parametrize("what", WORKS)
async def test_what_programs_do_works(what: str, place: Place) -> None:
    ended = await python(WORKS[what], place)
    assert (ended.code, ended.output, ended.errors) == (0, b"ok\n", "")


COMMANDS = {
    "git": "git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm ok"
    " --allow-empty && git log --format=%s",
    "node": 'node -e \'const f = require("fs"); f.writeFileSync("x", "ok");'
    ' console.log(f.readFileSync("x", "utf8"))\'',
    "npm": "export npm_config_offline=true npm_config_update_notifier=false\n"
    "npm init -y > /dev/null && test -f package.json && echo ok",
    "mktemp": "echo ok > $(mktemp a.XXXXXX) && cat a.*",
    "sort": "seq 1000 | sort -R > /dev/null && echo ok",
    "yes": "yes ok | head -n 1",  # SIGPIPE ends it, and nobody complains
}


@pytest.mark.parametrize("program", COMMANDS)
async def test_what_commands_do_works(program: str, place: Place) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program}")
    ended = await run(["/bin/sh", "-c", COMMANDS[program]], b"", place, 60)
    assert (ended.code, ended.output, ended.errors) == (0, b"ok\n", "")


REFUSED = {
    "a file beside": "open(OUT + '/new', 'w')",
    "a file beside, by its relative name": "open('../outside/new', 'w')",
    "the parent of the copy": "open('../new', 'w')",
    "the folder for temporary files": "open('/tmp/exitdrill-was-here', 'w')",
    "the home": "open(os.path.expanduser('~' + pwd.getpwuid(os.getuid()).pw_name) + '/new', 'w')",
    "what is there": "open(OUT + '/kept', 'a')",
    "through a symbolic link": "os.symlink(OUT + '/kept', 'l'); open('l', 'w')",
    "through a link to a folder": "os.symlink(OUT, 'l'); open('l/new', 'w')",
    "through a hard link": "os.link(OUT + '/kept', 'l'); open('l', 'w')",
    "a rename out": "open('a', 'w'); os.rename('a', OUT + '/a')",
    "a rename in": "os.rename(OUT + '/kept', 'a')",
    "a removal": "os.remove(OUT + '/kept')",
    "a truncation": "os.truncate(OUT + '/kept', 0)",
    "a folder": "os.mkdir(OUT + '/folder')",
    "a socket": "socket.socket(socket.AF_UNIX).bind(OUT + '/s')",
    "a pipe": "os.mkfifo(OUT + '/p')",
    "by a child": "subprocess.run(['sh', '-c', 'echo x > $OUT/kept'], check=True)",
    "by a detached child": """subprocess.run(
        ["sh", "-c", "echo x > $OUT/kept"], check=True, start_new_session=True)""",
    "a folder in the shared memory": "os.mkdir('/dev/shm/exitdrill-was-here')",
    "a terminal": "pty.openpty()",
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_not_its_own_stays_as_it_is(what: str, place: Place, tmp_path: Path) -> None:
    head = "import os, pty, pwd, socket, subprocess\nOUT = os.environ['OUT']\n"
    ended = await python(head + "print('begun', flush=True)\n" + REFUSED[what], place)
    assert (ended.code, ended.output) == (1, b"begun\n")
    assert "Error" in ended.errors
    assert os.listdir(tmp_path / "outside") == ["kept"]
    assert (tmp_path / "outside" / "kept").read_text() == "as it was"
    assert set(os.listdir(tmp_path)) == {"copy", "scratch", "outside"}
    assert "exitdrill-was-here" not in [*os.listdir("/tmp"), *os.listdir("/dev/shm")]


@pytest.mark.skipif(landlock_version() < 6, reason="this kernel cannot keep signals back")
async def test_a_contained_command_ends_nobody_else(place: Place) -> None:
    ended = await python(f"import os; os.kill({os.getpid()}, 0)", place)
    assert "Operation not permitted" in ended.errors
