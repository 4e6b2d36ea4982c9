"""What looks like a secret is masked in the diff of an app, line for line."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from tests.harness.apps import BY_COMMAND, COMMAND, drilled, everything_in, program, row_of

from exitdrill.keyshapes import mask, mask_diff, mask_json
from exitdrill.measures.change import change_counts
from exitdrill.redaction import MASK
from exitdrill.swap import Swap, apply

KEY = "Zx81Qm7Lr2Vt9Kp4Wd6Bn3"
MASKED = [
    # what stands there, and what must be gone of it
    ("KEY = 'sk-live-OVERLAY1234567890abcdefgh'", "OVERLAY"),
    (f"anything ghp_{KEY} else", KEY),
    ("AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"),
    ('url = "postgres://u:hunter2pw@db/x"', "hunter2pw"),
    ("https://api.example/v1?key=abcd1234efgh", "abcd1234"),
    (f'os.environ["VENDOR_API_KEY"] = "{KEY}"', KEY),
    (f'client = Vendor(apiKey="{KEY}")', KEY),
    (f'os.environ.setdefault("VENDOR_TOKEN", "{KEY}")', KEY),
    (f'api_key: str = "{KEY}"', KEY),
    (f'{{"x-api-key": "{KEY}"}}', KEY),
    (f"export VENDOR_TOKEN={KEY}", KEY),
    ('DB_PASSWORD = "hunter2"', "hunter2"),
]
SHOWN = [
    'key = os.environ["OPENAI_API_KEY"]',
    'api_key = settings.vendor.api_key_of("small")',
    'password = getpass("password: ")',
    'token = "{incumbent.key}"',
    'url = "http://{user}:{password}@host"',
    "max_tokens = 12345678901234567890",
    'key = "name"',
    "ssh://git@host/path and http://127.0.0.1:8000/a@b",
    'model = "claude-3-5-sonnet-20241022"',
]


@pytest.mark.parametrize(("text", "secret"), MASKED)
def test_what_looks_like_a_secret_is_masked(text: str, secret: str) -> None:
    assert secret in text
    assert secret not in mask(text)
    assert MASK in mask(text)
    assert mask_json({"a": [text, 1]}) == {"a": [mask(text), 1]}


@pytest.mark.parametrize("text", SHOWN)
def test_code_stays_readable(text: str) -> None:
    assert mask(text) == text


def diff_of(folder: Path, name: str, before: str, after: str) -> str:
    app, overlay = folder / "app" / name, folder / "over" / name
    for path, text in ((app, before), (overlay, after)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return apply(folder / "app", Swap(overlay=folder / "over"), folder / "work").diff


PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----\n"
FILES = {
    # name, before, after, what must not be shown
    ".env": ("# of the app\nA=one\nB=\n", '# A=three\nexport A="two"\n\nB = "x\ny"\n', "one two y"),
    "prod.env": ("A=one\n", "A=two\n", "one two"),
    "conf.yaml": (
        "password: hunter2\nport: 1\n",
        "password: hunter3\nport: 2\n",
        "hunter2 hunter3",
    ),
    "key.py": ("x = 1\n", f'KEY = """{PEM}"""\nx = 2\n', "MIIEow IBAAKC"),
    "top.py": (f'VENDOR_KEY = "{KEY}"\n' + " 1\n" * 9, f'VENDOR_KEY = "{KEY}"\n' + " 1\n" * 8, KEY),
}


@pytest.mark.parametrize("name", FILES)
def test_a_diff_keeps_its_lines(name: str, tmp_path: Path) -> None:
    before, after, secrets = FILES[name]
    diff = diff_of(tmp_path, name, before, after)
    masked = mask_diff(diff)
    for secret in secrets.split():
        assert secret in diff
        assert secret not in masked.replace("(not shown)", "")
    assert change_counts(masked) == change_counts(diff)
    assert [line[:1] for line in masked.split("\n")] == [line[:1] for line in diff.split("\n")]


def test_a_diff_without_secrets_is_as_it_was(tmp_path: Path) -> None:
    diff = diff_of(tmp_path, "a.py", "-- a\n+++ b\n@@ c\ndiff --git\n", "++ a\n--- b\n@@ d\n")
    assert mask_diff(diff) == diff


def test_long_lines_take_little_time() -> None:
    letters = "".join(random.Random(1).choices("ab1_=:\"'/@.-k ", k=400_000))
    began = time.process_time()
    mask(letters)
    mask("key=" * 100_000)
    mask("a" * 400_000 + "://" * 50_000)
    assert time.process_time() - began < 10


def test_a_drill_keeps_no_key_of_the_app(tmp_path: Path) -> None:
    folder = program(
        tmp_path, {"main.py": COMMAND, ".env": "OPENAI_API_KEY=sk-live-DOTENV1234567\n"}
    )
    over = folder / "over"
    over.mkdir()
    (over / ".env").write_text("OPENAI_API_KEY=sk-live-DOTOVER1234567\n")
    more = f'\nKEY = "sk-live-OVERLAY1234567890"\nURL = "https://u:pw123456@api.openai.com/?key={KEY}"\n'
    (over / "client.py").write_text((folder / "app" / "client.py").read_text() + more)
    result = drilled(folder, BY_COMMAND, swap={"overlay": "over"})
    written = everything_in(result.folder)
    for secret in (b"DOTENV", b"DOTOVER", b"OVERLAY", b"pw123456", KEY.encode()):
        assert secret not in written
    assert row_of(result, "change", "lines")["estimate"] == 9, "four are of the environment"
