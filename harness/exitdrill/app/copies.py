"""The app's copy for each arm: as it is for the incumbent, with its swap for a candidate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from exitdrill.app.places import names_candidate
from exitdrill.scenario import AppRunSpec, Scenario
from exitdrill.swap import AppliedSwap, Swap, apply, is_left_out

USUAL = {"OPENAI_BASE_URL": "url", "OPENAI_API_KEY": "key"}
"""What the official SDKs read: that of the arm under drill, unless the scenario sets it."""
MOST_FOLDERS = 10_000
INSTALLED = "node_modules"
OF_NETWORK = (
    *("http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("ssl_cert_file", "ssl_cert_dir", "requests_ca_bundle", "node_extra_ca_certs"),
    *("pip_index_url", "pip_extra_index_url", "pip_find_links", "pip_no_index", "pip_cert"),
    *("uv_index_url", "uv_default_index", "npm_config_registry", "npm_config_cafile"),
)
"""What an installation gets of the drill's own environment, in either case: where packages come
from, and the way there. None that holds a password."""
_PASSWORD = re.compile(r"://[^/\s]*@")


def environment_of(run: AppRunSpec | None) -> dict[str, str]:
    """What the app runs with on the incumbent, its places not filled."""
    if run is None:
        return {}
    usual = {name: f"{{incumbent.{what}}}" for name, what in USUAL.items()}
    return usual | {k: v for k, v in run.environment.items() if not names_candidate(v)}


def swap_of(scenario: Scenario, name: str) -> Swap:
    """A candidate's swap; of the environment, all that becomes another one with it."""
    spec, run = scenario.swap.get(name), scenario.app_run
    environment: dict[str, str] = {}
    if run is not None:
        usual = {name: f"{{candidate.{what}}}" for name, what in USUAL.items()}
        environment = {name: value for name, value in usual.items() if name not in run.environment}
        environment |= {k: v for k, v in run.environment.items() if names_candidate(v)}
    if spec is None:
        return Swap(environment=environment)
    return Swap(
        patch=scenario.root / spec.patch if spec.patch else None,
        overlay=scenario.root / spec.overlay if spec.overlay else None,
        environment=environment | spec.environment,
        ref=spec.ref,
    )


def copy_of(scenario: Scenario, name: str, workdir: Path) -> AppliedSwap:
    """An arm's copy of the app, with what is installed in it within reach.

    Where the app is installed anew nothing is: it would be written through. Raises `SwapFailed`.
    """
    assert scenario.app is not None
    app = scenario.root / scenario.app.path
    swap = Swap() if name == scenario.incumbent else swap_of(scenario, name)
    applied = apply(app, swap, workdir, environment=environment_of(scenario.app_run))
    if scenario.app_run is None or scenario.app_run.install is None:
        _link_installed(app, applied.path)
    return applied


def _link_installed(app: Path, copy: Path) -> None:
    """Packages and virtual environments are no part of the app, but it does not run without."""
    waiting = [app]
    for _ in range(MOST_FOLDERS):
        if not waiting:
            return
        for path in waiting.pop().iterdir():
            if not path.is_dir():
                continue
            if not is_left_out(path):
                waiting += [] if path.is_symlink() else [path]
                continue
            place = copy / path.relative_to(app)
            installed = path.name == INSTALLED or (path / "pyvenv.cfg").exists()
            if installed and place.parent.is_dir() and not place.exists():
                place.symlink_to(path.resolve())


def minimal(scratch: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """What every app gets of an environment: no keys, and a home of its own."""
    return {
        "PATH": inherited.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
        "LANG": inherited.get("LANG", "C.UTF-8"),
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def of_network(inherited: Mapping[str, str]) -> dict[str, str]:
    """What an installation needs to find its packages."""
    return {
        name: value
        for name, value in inherited.items()
        if name.lower() in OF_NETWORK and not _PASSWORD.search(value)
    }
