"""Every kind of mistake in the config is named with its file and line, all at once, by `tollgate check`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

import tollgate
from tollgate import Served

# {folder} holds server.pem, server.key, other.key (of another certificate), open.key (mode 0644), and the secrets below.
SECRETS = {"good.key": "sk-upstream\n", "blank.key": "sk upstream\n", "two-lines.key": "sk-upstream\nsk-other\n", "empty.key": "\n",
           "long.key": "x" * 2049, "garbage.pem": "no certificate\n"}
GOOD = """listen = "127.0.0.1:18443"
console = "127.0.0.1:18444"
certificate = "server.pem"
certificate_key = "server.key"
state = "state"
redis = "unix:/tmp/redis.sock"
backend "echo" {
    kind = "echo"
}
"""



def openai(*lines: str) -> str:
    """With a backend at http://x/v1, or at the url that is given; its lines begin with the tenth."""
    url = () if any(line.startswith("url") for line in lines) else ('url = "http://x/v1"',)
    return GOOD.replace('kind = "echo"', "\n    ".join(['kind = "openai"', *url, *lines]))


# What is wrong: (the config's lines, {line of the mistake: words of its sentence}).
MISTAKES = {
    "an unknown option": (GOOD + "colour = red\n", {10: "colour"}),
    "an unknown option of a backend": (GOOD.replace('kind = "echo"', 'kind = "echo"\n    speed = 5'), {9: "speed"}),
    "an unknown section": (GOOD + 'frontend "x" {\n}\n', {10: "frontend"}),
    "an option twice": (GOOD + 'state = "other"\n', {10: "state is set a second time"}),
    "a backend twice": (GOOD + 'backend "echo" {\n    kind = echo\n}\n', {10: "echo"}),
    "no number": (GOOD + "workers = many\n", {10: "workers"}),
    "too large a number": (GOOD + "workers = 100000\n", {10: "workers"}),
    "a negative number": (GOOD + "workers = -1\n", {10: "workers"}),
    "a size without meaning": (GOOD + 'body_bytes = "many"\n', {10: "body_bytes"}),
    "a size that is too small": (GOOD + 'body_bytes = "1"\n', {10: "body_bytes"}),
    "a duration without unit": (GOOD + 'idle_timeout = "75"\n', {10: "idle_timeout"}),
    "a duration of an unknown unit": (GOOD + 'idle_timeout = "2 fortnights"\n', {10: "idle_timeout"}),
    "no boolean": (GOOD + "testing = maybe\n", {10: "testing"}),
    "no equal sign": (GOOD + "workers 2\n", {10: ""}),
    "no value": (GOOD + "workers =\n", {10: ""}),
    "an open string": (GOOD + 'zone = "Asia\n', {10: ""}),
    "an open section": (GOOD.rstrip().removesuffix("}"), {8: "not closed"}),
    "an open comment": (GOOD + "/* hello\n", {10: "comment"}),
    "no address": (GOOD.replace("127.0.0.1:18443", "somewhere"), {1: "listen"}),
    "no port": (GOOD.replace("127.0.0.1:18443", "127.0.0.1"), {1: "listen"}),
    "too large a port": (GOOD.replace("18443", "99999"), {1: "listen"}),
    "the same address twice": (GOOD.replace("18444", "18443"), {2: "console and listen"}),
    "no certificate": (GOOD.replace("server.pem", "none.pem"), {3: "none.pem"}),
    "a certificate that is none": (GOOD.replace("server.pem", "server.key"), {3: "certificate"}),
    "a key that anybody may read": (GOOD.replace("server.key", "open.key"), {4: "open.key"}),
    "a key of another certificate": (GOOD.replace("server.key", "other.key"), {4: "not the key of the certificate"}),
    "a state in no directory": (GOOD.replace('"state"', '"nowhere/state"'), {5: "nowhere"}),
    "a state that is a file": (GOOD.replace('"state"', '"server.pem"'), {5: "not a directory"}),
    "journal and archive in one": (GOOD + 'journal = "j"\narchive = "j"\n', {11: "archive and journal"}),
    "no Redis address": (GOOD.replace("unix:/tmp/redis.sock", "here"), {6: "redis"}),
    "a password in the Redis address": (GOOD.replace("unix:/tmp/redis.sock", "redis://u:hunter2@h:1"), {6: "redis_password_file"}),
    "no zone": (GOOD + 'zone = "Mars/Olympus"\n', {10: "zone"}),
    "no log level": (GOOD + 'log_level = "loud"\n', {10: "log_level"}),
    "no user": (GOOD + 'user = "nobody-of-this-name"\n', {10: "nobody-of-this-name"}),
    "a shifted clock without testing": (GOOD + "clock_offset = 1000\n", {10: "testing"}),
    "a target larger than its head": (GOOD + 'target_bytes = "32 KiB"\n', {10: "target_bytes"}),
    "no kind": (GOOD.replace('    kind = "echo"\n', ""), {7: "kind"}),
    "an unknown kind": (GOOD.replace('"echo"\n}', '"magic"\n}'), {8: "magic"}),
    "echo with a url": (GOOD.replace('kind = "echo"', 'kind = "echo"\n    url = "http://x/v1"'), {9: "url"}),
    "openai without a url": (GOOD.replace('kind = "echo"', 'kind = "openai"'), {8: "url"}),
    "a url that is none": (GOOD.replace('kind = "echo"', 'kind = "openai"\n    url = "ftp://x"'), {9: "http"}),
    "a key in a url": (GOOD.replace('kind = "echo"', 'kind = "openai"\n    url = "http://u:hunter2@x/v1"'), {9: "key_file"}),
    "a query in a url": (GOOD.replace('kind = "echo"', 'kind = "openai"\n    url = "http://x/v1?a=b"'), {9: "query"}),
    "no key file": (GOOD.replace('kind = "echo"', 'kind = "openai"\n    url = "http://x/v1"\n    key_file = "none"'), {10: "none"}),
    "a backend's key with a blank": (openai('key_file = "blank.key"'), {10: "has a blank"}),
    "a backend's key with a second line": (openai('key_file = "two-lines.key"'), {10: "a second line"}),
    "a backend's key that is empty": (openai('key_file = "empty.key"'), {10: "empty.key is empty"}),
    "a backend's key that is too long": (openai('key_file = "long.key"'), {10: "at most 2048 bytes"}),
    "a backend's authorities that are none": (openai('url = "https://x/v1"', 'ca_file = "garbage.pem"'), {10: "garbage.pem"}),
    "a url with half an address": (openai('url = "http://[::1/v1"'), {9: "no host and port"}),
    "a url with two ports": (openai('url = "http://x:1:2/v1"'), {9: "no host and port"}),
    "an empty Redis password": (GOOD + 'redis_password_file = "empty.key"\n', {10: "empty.key is empty"}),
    "Redis authorities that are none": (GOOD.replace("unix:/tmp/redis.sock", "rediss://h:1") + 'redis_ca = "garbage.pem"\n',
                                        {10: "redis_ca"}),
    "a Redis certificate of another key": (GOOD.replace("unix:/tmp/redis.sock", "rediss://h:1") +
                                           'redis_certificate = "server.pem"\nredis_certificate_key = "other.key"\n', {10: "mismatch"}),
    "webhook authorities that are none": (GOOD + 'webhook_ca_file = "garbage.pem"\n', {10: "webhook_ca_file"}),
    "three mistakes": (GOOD.replace("18443", "x") + "workers = many\ncolour = red\n", {1: "listen", 10: "workers", 11: "colour"}),
    "several that only together are wrong": (GOOD.replace("127.0.0.1:18443", "x") + 'zone = "Mars"\nuser = "no-such-user"\n',
                                             {1: "listen", 10: "zone", 11: "user"}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("config")
    tollgate.make_certificate(made)
    (made / "open.key").write_bytes((made / "server.key").read_bytes())
    (made / "open.key").chmod(0o644)
    other = tmp_path_factory.mktemp("other")
    tollgate.make_certificate(other)
    (other / "server.key").rename(made / "other.key")
    for name, text in SECRETS.items():
        put(made / name, text)
    return made


def put(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def check(folder: Path, text: str) -> tuple[int, str]:
    path = folder / "tollgate.conf"
    path.write_text(text)
    done = tollgate.run("check", config=path)
    assert done.stdout == "" or done.returncode == 0, done
    return done.returncode, done.stderr


def test_a_good_config_passes(folder: Path) -> None:
    assert check(folder, GOOD)[0] == 0
    assert check(folder, openai('key_file = "good.key"')) == (0, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a server as somebody else")
def test_check_reads_as_the_servers_user() -> None:
    """Of root's files that user sees nothing, however well root reads them."""
    folder = Path(tempfile.mkdtemp(prefix="tollgate-check-", dir="/tmp"))
    try:
        folder.chmod(0o755)
        tollgate.make_certificate(folder)
        put(folder / "root.key", "sk-upstream\n")
        put(folder / "own.key", "sk-upstream\n")
        shutil.chown(folder / "own.key", "nobody")
        assert check(folder, openai('key_file = "own.key"') + 'user = "nobody"\n') == (0, "")
        code, said = check(folder, openai('key_file = "root.key"') + 'user = "nobody"\n')
        assert code == 1 and "tollgate.conf:10: " in said and "root.key: Permission denied" in said, said
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", MISTAKES)
def test_check_names_the_line_of(folder: Path, name: str) -> None:
    """... each mistake, in a sentence that says what is wrong."""
    text, mistakes = MISTAKES[name]
    code, said = check(folder, text)
    assert code == 1
    found = {int(line): sentence for line, sentence in
             re.findall(rf"^{re.escape(str(folder))}/tollgate\.conf:(\d+): (.+)$", said, re.MULTILINE)}
    assert set(found) == set(mistakes), said
    for line, words in mistakes.items():
        assert words in found[line], said
    assert "hunter2" not in said, "what may be a secret is not repeated"


@pytest.mark.parametrize("wrong", ['zone = "China"', 'log_level = "infos"', 'certificate = "none.pem"', 'redis = "tcp:1"', "workers = 999"])
def test_comments_above_a_mistake_do_not_move_its_line(folder: Path, wrong: str) -> None:
    """... in the config that is shipped, where each option has some."""
    lines = (tollgate.TOP / "conf" / "tollgate.conf").read_text().splitlines()
    name = wrong.split()[0]
    at = next(number for number, line in enumerate(lines) if line.startswith(f"{name} ="))
    lines[at] = wrong
    code, said = check(folder, "\n".join(lines) + "\n")
    assert code == 1 and f"tollgate.conf:{at + 1}: {name}" in said, said


def test_a_config_that_is_not_there_or_not_text_is_named(folder: Path) -> None:
    done = tollgate.run("check", config=folder / "none.conf")
    assert done.returncode == 1 and "none.conf" in done.stderr
    (folder / "binary.conf").write_bytes(b"listen\0= 1\n")
    assert "binary.conf" in tollgate.run("check", config=folder / "binary.conf").stderr
    assert tollgate.run("check", config=folder).returncode == 1


def test_serve_refuses_a_wrong_config_with_the_same_words(folder: Path) -> None:
    path = folder / "wrong.conf"
    path.write_text(GOOD + "colour = red\n")
    done = tollgate.run("serve", config=path)
    assert done.returncode == 1 and f"{path}:10:" in done.stderr


def test_the_documented_config_is_what_the_program_prints() -> None:
    printed = tollgate.run("check", "--print-defaults", check=True).stdout
    assert printed == (tollgate.TOP / "conf" / "tollgate.conf").read_text()


def test_an_installation_does_not_change_its_zone(served: Served) -> None:
    served.start()
    served.stop_serving()
    served.options = {"zone": "Europe/Berlin"}
    served.write_config()
    done = tollgate.run("serve", config=served.config)
    assert done.returncode == 1 and "zone" in done.stderr


@pytest.mark.parametrize(("name", "text", "mode", "says"), [
    ("pepper", "", 0o600, "pepper is empty"),
    ("pepper.next", "", 0o600, "pepper.next is empty"),
    ("operator.token", "ot-tg-0123456789\n", 0o644, "chmod 600"),
    ("finance.token", None, 0, "finance.token"),
    ("signing.pem", "no key\n", 0o600, "signing.pem is not"),
])
def test_check_reads_the_secrets_of_the_state_as_serve_does(
        served: Served, name: str, text: str | None, mode: int, says: str) -> None:
    served.start()
    served.stop_serving()
    assert tollgate.run("check", config=served.config).returncode == 0
    path = served.state / name
    path.unlink(missing_ok=True)
    if text is not None:
        put(path, text)
        path.chmod(mode)
    for command in ("check", "serve"):
        done = tollgate.run(command, config=served.config)
        assert done.returncode == 1 and says in done.stderr, done


def test_a_worker_that_cannot_read_its_files_says_why_and_serves_once_it_can(served: Served, tmp_path: Path) -> None:
    """They were good at the start and are not when a worker is started again."""
    key = tmp_path / "upstream.key"
    put(key, "sk-upstream\n")
    served.backends |= {"real": {"kind": "openai", "url": "http://127.0.0.1:1/v1", "key_file": str(key)}}
    served.start()
    tollgate.wait_until(lambda: served.log_text().count('"event":"worker_started"') == 2, "both workers serve")
    first, other = served.workers()
    put(key, "sk upstream\n")
    assert "has a blank" in tollgate.run("check", config=served.config).stderr
    os.kill(served.pid, signal.SIGHUP)
    tollgate.wait_until(lambda: '"event":"reload_refused"' in served.log_text(), "the reload is refused")
    assert "has a blank" in entry_of(served, "reload_problem")
    os.kill(first, signal.SIGKILL)
    tollgate.wait_until(lambda: '"event":"worker_failed"' in served.log_text(), "the next one says that it cannot start")
    assert "backend real: the backend's key has a blank" in entry_of(served, "worker_failed")
    assert other in served.workers(), "the others go on"
    put(key, "sk-upstream\n")
    tollgate.wait_until(lambda: served.log_text().count('"event":"worker_started"') == 3, "it serves again", 60)


def entry_of(served: Served, event: str) -> str:
    return next(line for line in served.log_text().splitlines() if f'"event":"{event}"' in line)
