#!/usr/bin/env python3
"""Set the project up and run it, from a bare Python with pip.

    python3 dev.py demo  [OPTIONS OF manage.py demo]
    python3 dev.py test  [--all-pythons] [PYTEST ARGUMENTS]
    python3 dev.py check

`demo` fulfils the example project's orders with a real cluster. `test` runs the tests
on SQLite and on PostgreSQL. `check` runs the linters, the type checker and the
architecture contracts. Each makes `.venv` when it is missing, installs what it needs
there and says what it does; a second run goes straight to work.

Only the standard library is used here: nothing is installed yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent
SUPPORTED = ((3, 13), (3, 12), (3, 11))
# Extras of pyproject.toml; each includes the ones before it.
PURPOSES = ("demo", "test", "dev")
#: What databases after the first are spared: tests that ask for none, and what Chromium
#: sees of the console: the same HTML from each, which `tests/admin` reads on all.
SPARED = ("--needs-database", "--ignore=tests/browser/admin")
#: Much of a test's time goes by in waiting for processes. The tests of one file stay
#: together, as they may share what takes long to make. A process that dies is not
#: replaced: another would begin with the test that killed it. Files keep their order:
#: those with few tests are the slowest, and would all be left for the end.
IN_PARALLEL = (
    "--numprocesses=2",
    "--dist=loadfile",
    "--no-loadscope-reorder",
    "--max-worker-restart=0",
)


def main(arguments: Sequence[str]) -> int:
    """Carry out one command; return the process's exit code."""
    match list(arguments):
        case ["demo", *rest]:
            return demo(rest)
        case ["test", *rest]:
            return test(rest)
        case ["check"]:
            return check()
        case _:
            print(__doc__)
            return 2


def demo(rest: Sequence[str]) -> int:
    """Run the main job, `manage.py demo`, with `rest` as its options."""
    python = environment("demo", default_interpreter())
    return run([str(python), "manage.py", "demo", *rest])


def check() -> int:
    """Run every static check; return 1 if any of them fails."""
    python = environment("dev", default_interpreter())
    tools = python.parent
    settings = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    commands = {
        "ruff": [str(tools / "ruff"), "check", "."],
        "format": [str(tools / "ruff"), "format", "--check", "."],
        "types": [str(tools / "mypy")],
        "architecture": [str(tools / "lint-imports")],
        "migrations": [
            str(python),
            "-m",
            "django",
            "makemigrations",
            "--check",
            "--dry-run",
        ],
    }
    failed = [name for name, command in commands.items() if run(command, settings)]
    say(f"FAILED: {', '.join(failed)}" if failed else "All checks passed")
    return 1 if failed else 0


# --- the tests ------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What one run of the tests came to, on one interpreter and one database."""

    label: str
    passed: int
    failed: int
    skipped: int
    seconds: float
    exit_code: int

    def __str__(self) -> str:
        verdict = "ok    " if self.exit_code == 0 else "FAILED"
        return (
            f"{verdict} {self.label}: {self.passed} passed, {self.failed} failed, "
            f"{self.skipped} skipped in {self.seconds:.0f} s"
        )


def test(rest: Sequence[str]) -> int:
    """Run the tests on SQLite and PostgreSQL; return 1 unless both are green."""
    pytest_arguments = [argument for argument in rest if argument != "--all-pythons"]
    interpreters = [default_interpreter()]
    if "--all-pythons" in rest:
        default = version_of(interpreters[0])
        interpreters += [p for p in all_interpreters() if version_of(p) != default]
    pythons = [environment("test", interpreter) for interpreter in interpreters]
    # Tests that compare versions of Python look for the others here.
    for python in pythons:
        major, minor = version_of(python) or (0, 0)
        os.environ[f"PYTHON{major}{minor}"] = str(python)
    outcomes: list[Outcome] = []
    for python in pythons:
        outcomes += test_databases(python, pytest_arguments)

    say("Summary")
    for outcome in outcomes:
        print(outcome)
    failed = [outcome for outcome in outcomes if outcome.exit_code]
    if failed:
        print(f"FAILED on {len(failed)} of {len(outcomes)} databases", flush=True)
        return 1
    print(f"ALL GREEN: {sum(outcome.passed for outcome in outcomes)} tests passed")
    return 0


def test_databases(python: Path, arguments: Sequence[str]) -> Iterator[Outcome]:
    """Run the tests once on each database that one interpreter is to be tried with.

    Those on SQLite run beside those on PostgreSQL, as most of the time goes by in
    waiting for processes; what they print is shown when they are through. Tests that
    ask for no database run once, on SQLite.
    """
    code = "import django, sys; print(sys.version.split()[0], django.__version__)"
    python_version, django_version = output_of([str(python), "-c", code]).split()
    versions = f"Python {python_version}, Django {django_version}"
    given = os.environ.get("DATABASE_URL", "")
    scheme = given.partition(":")[0]
    with (
        postgres_server(python) as (url, description),
        tempfile.TemporaryFile("w+", errors="replace") as shown,
        ThreadPoolExecutor(1) as beside,
    ):
        sqlite = beside.submit(
            pytest,
            python,
            f"SQLite ({versions})",
            given if scheme == "sqlite" else "",
            arguments,
            shown,
        )
        label = f"{description} ({versions})"
        if url:
            yield pytest(python, label, url, [*SPARED, *arguments])
        else:
            yield Outcome(label, 0, 0, 0, 0, exit_code=1)
        say("Waiting for the tests on SQLite")
        yield sqlite.result()
        shown.seek(0)
        shutil.copyfileobj(shown, sys.stdout)
    if scheme in {"mysql", "mariadb"}:
        label = f"{scheme} ({versions})"
        yield pytest(python, label, given, [*SPARED, *arguments])


def pytest(
    python: Path,
    label: str,
    url: str,
    arguments: Sequence[str],
    shown: IO[str] | None = None,
) -> Outcome:
    """Run the tests on the database `url` (empty: the default SQLite file).

    What they print goes to `shown`, if that is given.
    """
    say(f"Tests on {label}")
    with tempfile.TemporaryDirectory(prefix="django_workflows_") as folder:
        report = Path(folder) / "report.xml"
        command = [str(python), "-m", "pytest", f"--junitxml={report}", *IN_PARALLEL]
        command += arguments
        began = time.monotonic()
        code = run(command, {"DATABASE_URL": url}, shown)
        seconds = time.monotonic() - began
        counts = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
        if report.exists():
            for suite in ElementTree.parse(report).iter("testsuite"):
                for name in counts:
                    counts[name] += int(suite.get(name, 0))
    failed = counts["failures"] + counts["errors"]
    passed = counts["tests"] - failed - counts["skipped"]
    return Outcome(label, passed, failed, counts["skipped"], seconds, code)


@contextmanager
def postgres_server(python: Path) -> Iterator[tuple[str, str]]:
    """Yield the URL and a description of a PostgreSQL server, for as long as needed.

    `tests.server` finds or starts it and keeps it until its standard input closes. An
    empty URL means that there is none to be had; the reasons were printed loudly.
    """
    say("Looking for PostgreSQL")
    keeper = subprocess.Popen(
        [str(python), "-m", "tests.server"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert keeper.stdin is not None
    assert keeper.stdout is not None
    try:
        answer = keeper.stdout.readline()
        if not answer:
            say("NO POSTGRESQL: these tests are worth half without it. See above.")
            yield "", "PostgreSQL, not to be had"
            return
        found = json.loads(answer)
        print(f"{found['description']}, {found['source']}", flush=True)
        yield found["url"], found["description"]
    finally:
        keeper.stdin.close()
        keeper.stdout.close()
        keeper.wait()


# --- interpreters and environments ------------------------------------------------


def default_interpreter() -> Path:
    """Return this interpreter if it is new enough, else the newest one found."""
    if sys.version_info[:2] >= SUPPORTED[-1]:
        # Inside an environment the base is what can make another one.
        return Path(getattr(sys, "_base_executable", None) or sys.executable)
    found = all_interpreters()
    if not found:
        wanted = ".".join(map(str, SUPPORTED[-1]))
        raise SystemExit(f"Python {wanted} or newer is needed and was not found.")
    return found[0]


def all_interpreters() -> list[Path]:
    """Return one interpreter of each supported version that is present."""
    found = []
    for major, minor in SUPPORTED:
        name = f"python{major}.{minor}"
        on_path = shutil.which(name)
        pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
        candidates = [Path(on_path)] if on_path else []
        candidates += sorted(pyenv.glob(f"versions/{major}.{minor}.*/bin/{name}"))
        # A version manager may put a stand-in on the path that runs nothing.
        usable = [path for path in candidates if version_of(path) == (major, minor)]
        if usable:
            found.append(usable[0])
        else:
            print(f"{name} is not present: left out")
    return found


def version_of(python: Path) -> tuple[int, int] | None:
    """Return the version of an interpreter, or None if it does not run."""
    code = "import sys; print(*sys.version_info[:2])"
    result = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=False
    )
    if result.returncode:
        return None
    major, minor = map(int, result.stdout.split())
    return major, minor


def environment(purpose: str, interpreter: Path) -> Path:
    """Return the Python of an environment that has what `purpose` needs.

    `purpose` is one of the extras in pyproject.toml. The environment is `.venv`, or
    `.venv-3.12` for another version than the default interpreter's. What was installed
    there is noted in it, so that nothing is installed twice until pyproject.toml or
    the interpreter changes.
    """
    version = version_of(interpreter)
    if version is None:
        raise SystemExit(f"{interpreter} does not run.")
    is_default = version == version_of(default_interpreter())
    folder = ROOT / (".venv" if is_default else f".venv-{version[0]}.{version[1]}")
    python = folder / "bin" / "python"
    project = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    note = folder / "installed.json"
    installed = json.loads(note.read_text()) if note.exists() else {}
    if not python.exists() or version_of(python) != version:
        say(f"Making {folder.name} with {interpreter}")
        make_environment(interpreter, folder)
        installed = {}
    enough = PURPOSES[PURPOSES.index(purpose) :]
    if installed.get("project") == project and installed["extra"] in enough:
        print(f"{folder.name} has all that is needed", flush=True)
        return python
    say(f"Installing the project and its {purpose!r} extra into {folder.name}")
    target = f"{ROOT}[{purpose}]"
    must_run([str(python), "-m", "pip", "install", "--quiet", "--editable", target])
    note.write_text(json.dumps({"project": project, "extra": purpose}))
    return python


def make_environment(interpreter: Path, folder: Path) -> None:
    """Make a virtual environment, also where Python came without `ensurepip`."""
    shutil.rmtree(folder, ignore_errors=True)
    if run([str(interpreter), "-m", "venv", str(folder)]) == 0:
        return
    print("This Python cannot do that by itself: taking virtualenv from pip.")
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="django_workflows_") as place:
        # A target folder needs no permission from a Python managed by the system.
        pip = [str(interpreter), "-m", "pip", "install", "--quiet", "--target", place]
        must_run([*pip, "virtualenv"])
        must_run(
            [str(interpreter), "-m", "virtualenv", "--quiet", str(folder)],
            {"PYTHONPATH": place},
        )


# --- processes --------------------------------------------------------------------


def say(text: str) -> None:
    """Print what is being done, standing out from the output of what does it."""
    print(f"\n==> {text}", flush=True)


def run(
    command: Sequence[str],
    variables: dict[str, str] | None = None,
    output: IO[str] | None = None,
) -> int:
    """Show and run a command in the project's folder; return its exit code."""
    variables = variables or {}
    shown = [f"{name}={shlex.quote(value)}" for name, value in variables.items()]
    print("$", *shown, shlex.join(command), flush=True)
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    try:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | settings | variables,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            check=False,
        ).returncode
    except KeyboardInterrupt:
        return 130


def must_run(command: Sequence[str], variables: dict[str, str] | None = None) -> None:
    """Run a command; end this program if it fails."""
    if code := run(command, variables):
        raise SystemExit(f"The command above failed with exit code {code}.")


def output_of(command: Sequence[str]) -> str:
    """Return what a command prints."""
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
