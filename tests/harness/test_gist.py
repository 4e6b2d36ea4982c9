"""What a program said, cut to what helps."""

from __future__ import annotations

from pathlib import Path

import pytest

from exitdrill.app.complaints import summed_up, tidied
from exitdrill.gist import LONGEST, gist

COPY = Path("/tmp/copy/app")

TRACEBACK = """\
started
Traceback (most recent call last):
  File "/lib/exitdrill/app/runner.py", line 41, in <module>
    main()
    ^^^^^^
  File "<frozen importlib._bootstrap>", line 1204, in _gcd_import
  File "/tmp/copy/app/lib/main.py", line 3, in answer
    return ask(given)
           ^^^^^^^^^^
  File "/usr/lib/python3.11/urllib/request.py", line 643, in http_error_default
    raise HTTPError(req.full_url, code, msg, hdrs, fp)
urllib.error.HTTPError: HTTP Error 404: Not Found
"""
CUT = """\
with urllib.request.urlopen(request) as response:
     ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/urllib/request.py", line 216, in urlopen
    return opener.open(url, data, timeout)
ValueError: no
"""


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (
            TRACEBACK,
            'started\n  File "lib/main.py", line 3, in answer\n    return ask(given)\n'
            "urllib.error.HTTPError: HTTP Error 404: Not Found",
        ),
        (CUT, "ValueError: no"),
        ("Error: there is no file\n\n  at main.js:3", "Error: there is no file\n  at main.js:3"),
        ("cannot read /tmp/copy/app/config.toml", "cannot read config.toml"),
        ("", ""),
    ],
)
def test_of_a_traceback_the_apps_own_frames_and_the_error_stay(said: str, kept: str) -> None:
    assert tidied(said, COPY) == kept


PYTEST = """\
F.                                       [100%]
=== FAILURES ===
    def test_it():
>       assert answer() == 1
E       assert 2 == 1
test_it.py:3: AssertionError
=== short test summary info ===
FAILED test_it.py::test_it - assert 2 == 1
1 failed, 1 passed in 0.02s
"""
WARNED = "warnings.warn(SomethingOld)\n"
UNITTEST = "F\n===\nFAIL: test_it\n---\nAssertionError: 2 != 1\n\nFAILED (failures=1)\n"


@pytest.mark.parametrize(
    ("output", "errors", "told"),
    [
        (
            PYTEST,
            WARNED,
            "1 failed, 1 passed in 0.02s / E assert 2 == 1 / "
            "FAILED test_it.py::test_it - assert 2 == 1",
        ),
        ("no tests ran in 0.01s\n", WARNED, "no tests ran in 0.01s"),
        ("", UNITTEST, "FAILED (failures=1) / FAIL: test_it"),
        ("", "", "it wrote nothing"),
        ("FAILED a\n" * 9 + "FAILED b\nFAILED c\nFAILED d\nend", "", "end / FAILED a"),
    ],
)
def test_of_tests_their_last_line_and_the_first_failures_are_told(
    output: str, errors: str, told: str
) -> None:
    assert summed_up(output, errors) == told


def test_what_tests_say_is_bounded() -> None:
    assert len(summed_up("FAILED " + "x" * 10_000 + "\n" + "y" * 10_000, "")) < 400


def test_a_short_text_is_one_line_and_whole() -> None:
    assert gist(" a  line\n\n\tand another\n") == "a line / and another"
    assert gist("it said:\nno") == "it said: no"


def test_of_a_long_text_the_beginning_and_above_all_the_end_is_kept() -> None:
    found = gist("it ended with exit code 1: " + "word " * 200 + "\nKeyError: 'DATABASE_URL'")
    assert found.startswith("it ended with exit code 1: word")
    assert found.endswith("… KeyError: 'DATABASE_URL'")
    assert len(gist("x" * 10_000)) <= LONGEST
