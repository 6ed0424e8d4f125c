"""What workflow code must not call, and what to say about it.

A workflow function is run again from the top whenever its run continues, so
whatever it asks the outside world (a clock, a file, a random number) would be
answered differently the next time. This module names those calls; `guard.py`
watches for them.

The table is looked up at every call in workflow code, so it is made for speed.
C functions are keyed by the function object itself: equal bound builtins (
`datetime.datetime.now` is a new object at each access) have equal hashes.
Methods whose owner can be any instance or subclass are found by name and owner's
class, Python functions by the identity of their code object. What owns most C
calls (lists, dicts, text) owns no refused one: its class alone tells.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import random
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import CodeType, ModuleType, NoneType
from typing import Any

CLOCK = "Use `django_workflows.now()`, the run's recorded time."
SLEEP = "Use `await django_workflows.sleep(...)`, which is durable."
RANDOM = "Use `django_workflows.random()`, which is seeded per run."
ENTROPY = (
    "Use `django_workflows.uuid4()` or `django_workflows.random()`, which are "
    "seeded per run."
)
STEP = "Move this into a @step."
HTTP = "Use `await django_workflows.fetch(...)`, or move this into a @step."
THREAD = (
    "Run work side by side with `asyncio.gather` over steps, or move this into a @step."
)
WAIT = "Wait with asyncio's primitives, or move this into a @step."


@dataclass(frozen=True, slots=True)
class Rule:
    """One refused call: its public name, what to do instead."""

    call: str
    fix: str
    pure_with: int | None = None
    """The function is pure, and allowed, with at least so many arguments."""
    needs_none: str | None = None
    """Only refused while this parameter is None."""


_FUNCTIONS: dict[str, str] = {
    CLOCK: """
        time.time time.time_ns time.monotonic time.monotonic_ns
        time.perf_counter time.perf_counter_ns time.process_time
        time.process_time_ns time.thread_time time.thread_time_ns
        time.clock_gettime time.clock_gettime_ns os.times os.getloadavg
    """,
    SLEEP: "time.sleep",
    RANDOM: """
        random.random random.getrandbits
    """,
    ENTROPY: "os.urandom os.getrandom _uuid.generate_time_safe",
    THREAD: "_thread.start_new_thread _thread.start_joinable_thread",
    WAIT: """
        select.select select.poll signal.pause signal.sigwait
        signal.sigwaitinfo signal.sigtimedwait os.wait os.wait3
        os.wait4 os.waitpid os.waitid
    """,
    STEP: """
        io.open io.open_code builtins.input os.open os.read os.pread os.getpid
        os.getppid os.fork os.forkpty os.system os.execv os.execve os.posix_spawn
        os.posix_spawnp _posixsubprocess.fork_exec
        os.kill os.killpg os._exit os.putenv os.unsetenv os.chdir os.umask
        os.listdir os.scandir os.stat os.lstat os.access os.readlink os.statvfs
        os.mkdir os.rmdir os.unlink os.remove os.rename os.replace os.link
        os.symlink os.truncate os.chmod os.chown os.utime os.mkfifo
        _socket.getaddrinfo _socket.gethostbyname _socket.gethostbyname_ex
        _socket.gethostbyaddr _socket.gethostname _socket.getnameinfo
        _socket.socketpair
        sqlite3.connect psycopg2._connect MySQLdb._mysql.connect
    """,
}
"""C functions by their public names, each under its fix. Names that this
platform or process does not have are left out."""

_SOME_ARGUMENTS: dict[str, int] = {
    "time.localtime": 1,
    "time.gmtime": 1,
    "time.ctime": 1,
    "time.asctime": 1,
    "time.strftime": 2,
}
"""These read the clock only when called with fewer arguments."""

_METHODS: tuple[tuple[str, str, str], ...] = (
    ("datetime.datetime", "now utcnow today", CLOCK),
    ("datetime.date", "today", CLOCK),
    (
        "_socket.socket",
        """
        connect connect_ex send sendall sendto sendmsg recv recv_into recvfrom
        recvfrom_into recvmsg recvmsg_into accept bind listen _accept
        """,
        STEP,
    ),
    ("select.epoll", "poll", WAIT),
    ("_io.TextIOWrapper", "read readline readlines", STEP),
    ("_io.BufferedReader", "read read1 readinto readline readlines", STEP),
    (
        "sqlite3.Connection",
        "cursor execute executemany executescript commit rollback backup",
        STEP,
    ),
    ("sqlite3.Cursor", "execute executemany executescript", STEP),
    ("psycopg2.extensions.connection", "cursor commit rollback", STEP),
    ("psycopg2.extensions.cursor", "execute executemany callproc", STEP),
    ("MySQLdb._mysql.connection", "query commit rollback", STEP),
)
"""C methods: class, names, fix. Subclasses count too."""

_CODE: dict[str, str] = {
    THREAD: """
        threading.Thread.start
        concurrent.futures.thread.ThreadPoolExecutor.submit
        concurrent.futures.process.ProcessPoolExecutor.submit
        multiprocessing.process.BaseProcess.start
    """,
    WAIT: "threading.Condition.wait",
    HTTP: """
        urllib.request.OpenerDirector.open http.client.HTTPConnection.connect
        requests.sessions.Session.request httpx.Client.send
        httpx.AsyncClient.send urllib3.connectionpool.HTTPConnectionPool.urlopen
    """,
    STEP: """
        django.db.backends.base.base.BaseDatabaseWrapper.cursor
        subprocess.Popen.__init__ socket.socket.__init__ socket.create_connection
        psycopg.Connection.connect psycopg.AsyncConnection.connect
        psycopg.Cursor.execute psycopg.Cursor.executemany
        psycopg.AsyncCursor.execute psycopg.AsyncCursor.executemany
        redis.client.Redis.execute_command
        redis.asyncio.client.Redis.execute_command
        pymysql.connections.Connection.connect pymysql.cursors.Cursor.execute
    """,
}
"""Python functions, refused at their entry: clearer names than what they call,
and nothing of them has run yet.

The first stands for all of the ORM: every function that Django marks as unsafe in
async code has the same code object, that of the marking wrapper."""

_LABELS = {
    "django.db.backends.base.base.BaseDatabaseWrapper.cursor": (
        "a database query (Django ORM)"
    ),
    "subprocess.Popen.__init__": "subprocess.Popen()",
    "socket.socket.__init__": "socket.socket()",
    "io.open": "open()",
    "builtins.input": "input()",
    "psycopg2._connect": "psycopg2.connect()",
    "MySQLdb._mysql.connect": "MySQLdb.connect()",
    "requests.sessions.Session.request": "requests.request()",
    "urllib.request.OpenerDirector.open": "urllib.request.urlopen()",
}


_OWNERS_LIMIT = 10_000
"""Classes can be made without end, and the table would keep them alive."""


class Table:
    """The refused calls, resolved to the objects of this process.

    Empty until `refresh`, which adds those of the libraries that are loaded by now
    and imports nothing itself.
    """

    __slots__ = (
        "_bases",
        "_kept",
        "codes",
        "descriptors",
        "functions",
        "methods",
        "modules",
        "owners",
    )

    def __init__(self) -> None:
        self.functions: dict[Any, Rule] = {}
        """C functions to their rules."""
        self.methods: dict[str, list[tuple[type, Rule]]] = {}
        """Names of C methods to the classes that own them."""
        self.owners: dict[type, bool] = {}
        """Whether objects of a class may own a function or method of those above,
        as far as `owns` was asked."""
        self._bases: list[type] = [ModuleType, NoneType, type, random.Random]
        self.codes: dict[int, Rule] = {}
        """`id()`s of code objects, which are kept alive."""
        self._kept: list[CodeType] = []
        self.descriptors: set[object] = {
            getattr(random.Random, name) for name in ("random", "getrandbits")
        } | {super(random.Random, random.Random).seed}
        """The C methods that may have a rule, as their classes hold them."""
        self.modules = 0
        """How many modules were loaded when the table was last refreshed."""

    def refresh(self) -> None:
        """Resolve every name that can be resolved by now."""
        self.modules = len(sys.modules)
        for fix, names in _FUNCTIONS.items():
            for name in names.split():
                self._add_function(name, Rule(_label(name), fix))
        for name, count in _SOME_ARGUMENTS.items():
            self._add_function(name, Rule(_label(name), CLOCK, pure_with=count))
        # The C half of the module-level `random.seed()`.
        self.functions[super(random.Random, random._inst).seed] = Rule(
            "random.seed()", RANDOM
        )
        for path, names, fix in _METHODS:
            owner = _resolve(path)
            if isinstance(owner, type) and owner not in self._bases:
                self._bases.append(owner)
                self.owners.clear()
                self._add_methods(owner, path, names.split(), fix)
        for fix, names in _CODE.items():
            for name in names.split():
                self.add_code(_resolve(name), Rule(_label(name), fix))
        self.add_code(
            random.Random.seed,
            Rule("unseeded random.Random()", RANDOM, needs_none="a"),
        )

    def owns(self, cls: type) -> bool:
        """Whether objects of this class may own a refused C function or method."""
        if len(self.owners) > _OWNERS_LIMIT:
            self.owners.clear()
        owns = self.owners[cls] = issubclass(cls, tuple(self._bases))
        return owns

    def rule(self, function: Any) -> Rule | None:
        """The rule for a C function, or for a bound C method by its name and its
        owner's class; None if it is allowed."""
        found = self.functions.get(function)
        if found is None and function.__name__ in self.methods:
            owner = function.__self__
            cls = owner if isinstance(owner, type) else type(owner)
            for base, rule in self.methods[function.__name__]:
                if issubclass(cls, base):
                    return rule
        return found

    def _add_function(self, name: str, rule: Rule) -> None:
        function = _resolve(name)
        if function is not None:
            self.functions.setdefault(function, rule)

    def _add_methods(
        self, owner: type, path: str, names: Iterable[str], fix: str
    ) -> None:
        for name in names:
            rule = Rule(f"{path.lstrip('_')}.{name}()", fix)
            self.methods.setdefault(name, []).append((owner, rule))
            self.descriptors.add(inspect.getattr_static(owner, name, None))

    def add_code(self, function: Any, rule: Rule) -> None:
        """Refuse a Python function, and all others with the same code object."""
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType) and id(code) not in self.codes:
            self._kept.append(code)
            self.codes[id(code)] = rule

    def watched_code(self) -> list[CodeType]:
        """The code of the refused Python functions."""
        return list(self._kept)


def show_numpy(table: Table) -> None:
    """Let the guard see numpy's global generator.

    numpy's functions are compiled in a way that no profile function sees. So those
    of `numpy.random` that use the global generator are wrapped in a Python function,
    which is seen. Nothing else about them changes.
    """
    if "numpy" not in sys.modules:
        return
    # numpy loads it at its first use, which would be in the middle of a burst.
    numpy_random = importlib.import_module("numpy.random")
    generator = numpy_random.mtrand._rand
    for name, member in list(vars(numpy_random).items()):
        if callable(member) and getattr(member, "__self__", None) is generator:
            setattr(numpy_random, name, _visible(member))
    table.add_code(_visible(print), Rule("numpy.random's global generator", RANDOM))


def _visible(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def _label(name: str) -> str:
    return _LABELS.get(name) or name.lstrip("_") + "()"


def _resolve(path: str) -> Any:
    """What the dotted `path` names among the loaded modules, or None."""
    names = path.split(".")
    for split in range(len(names) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(names[:split]))
        if found is not None:
            for name in names[split:]:
                # Not by getattr: a lazy module would import what is missing.
                if isinstance(found, ModuleType):
                    found = vars(found).get(name)
                else:
                    found = getattr(found, name, None)
            return found
    return None
