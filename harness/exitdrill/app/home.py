"""Where an arm's app lives: its copy, what it may write to, and the commands that run there."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from exitdrill.app.copies import minimal, of_network
from exitdrill.app.disk import BY_INSTALLING, BY_RUNNING, Disk, any_over
from exitdrill.app.hints import hint
from exitdrill.app.kept import Kept
from exitdrill.app.process import TOO_LARGE, Ended, Place, run, words
from exitdrill.app.ways import Entrance
from exitdrill.errors import DrillStopped, ServerFailed

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass
class Home:
    """Where an arm's app is: its copy, a folder for what it writes, its environment, unfilled."""

    copy: Path
    scratch: Path
    environment: Mapping[str, str]
    passed: Mapping[str, str] = field(default_factory=dict)
    """What it gets of the drill's own environment: secrets."""
    connect: Sequence[int] | None = None
    """The ports that it may connect to beside the gateways'; None: any."""
    kept: Kept = field(init=False)
    disk: Disk = field(init=False)
    """That of the copy, which all that run at once share."""

    def __post_init__(self) -> None:
        self.disk = Disk((self.copy,), BY_RUNNING)
        self.kept = Kept(self.copy, self.copy.with_name(f".{self.copy.name}.kept"))

    def place(self, scratch: Path, entrance: Entrance, more: Mapping[str, str] = NOTHING) -> Place:
        """Where it runs once, with ``more`` of the drill's own environment."""
        given = {**minimal(scratch, os.environ), **more, **entrance.fill(self.environment)}
        ports = None if self.connect is None else (*self.connect, *entrance.ports)
        return Place(self.copy, given, (self.copy, scratch), self.disk.most.bytes, ports)

    def check(self) -> None:
        """Raise `DrillStopped` where the drill's own folder is gone: no fault of the app's."""
        if not self.scratch.is_dir():
            raise DrillStopped(
                f"the drill's own folder {self.scratch.parent} is gone (did somebody clear the "
                "temporary files?)"
            )

    def find(self, command: list[str]) -> None:
        """See that a command's program is there. Raises `ServerFailed`."""
        place = self.place(self.scratch, Entrance({}, {}))
        program = words(command, place)[0]
        if not os.access(self.copy / program, os.X_OK):
            raise ServerFailed(f"there is no program {program!r} that can be run")

    def hint(self, said: str) -> str:
        """What the drill knows of why an app failed that said this, or ""."""
        usual = minimal(self.scratch, os.environ)
        return hint(said, {*usual, *self.passed, *self.environment})

    async def run(
        self,
        command: list[str],
        data: bytes,
        entrance: Entrance,
        seconds: float,
        stop: asyncio.Event,
    ) -> Ended:
        """Run a command in the copy, with a scratch folder of its own. Raises `ServerFailed`, and
        `DrillStopped` where the drill's own folder is gone.

        The copy is as it was again when this returns, and nothing else runs there.
        """
        self.check()
        async with self.kept.used():
            if self.disk.over:  # it may have tidied up, or what was written was undone
                await self.disk.look()
            with self._scratch() as scratch:
                place = self.place(scratch, entrance, self.passed)
                disks = (self.disk, Disk((scratch,), BY_RUNNING))
                ended = await run(words(command, place), data, place, seconds, stop, disks)
                return await _named(ended, disks)

    async def install(self, command: list[str], seconds: float) -> Ended:
        """Install what the app depends on: in the copy, without any model, and without any key.

        Raises `ServerFailed`.
        """
        with self._scratch() as scratch:
            place = self.place(scratch, Entrance({}, {}), of_network(os.environ))
            place = replace(place, largest=BY_INSTALLING.bytes, ports=None)
            disks = (Disk((self.copy, scratch), BY_INSTALLING),)
            ended = await run(words(command, place), b"", place, seconds, disks=disks)
            ended = await _named(ended, disks)
        await asyncio.to_thread(self.disk.settle)
        return ended

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.scratch, ignore_cleanup_errors=True) as folder:
            yield Path(folder)


async def _named(ended: Ended, disks: Sequence[Disk]) -> Ended:
    """What failed because it could not write any more is named so."""
    if ended.why != "itself" or ended.code == 0:
        return ended
    full = ended.code == TOO_LARGE or await any_over(disks)
    return replace(ended, why="filled") if full else ended
