"""A program as the process supervisor sees it. No Django.

Configuration file format: supervisord.org/configuration.html, section [program:x].
"""

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

NAME = re.compile(r"[A-Za-z0-9_.-]+")
AUTORESTART = {"never": "false", "always": "true", "unexpected": "unexpected"}


@dataclass(frozen=True)
class Program:
    """A process that the supervisor keeps alive.

    name: unique under its supervisor; letters, digits and _ . - only.
    command: the argument vector; no shell reads it. env: added to the supervisor's own environment.
    cwd: resolved at each start, so a symlink may be swapped between starts. user: run as, root only.
    autorestart: "unexpected" restarts after any exit status but 0. startsecs: up for so long (seconds) counts
    as started; startretries: failed starts in a row before it is given up.
    stop_wait_seconds: time between stopsignal and SIGKILL. log: takes stdout and stderr, rotated at 10 MB.
    priority: lower starts first and stops last. stop_group: send stopsignal to the process group as well.
    """

    name: str
    command: tuple[str, ...]
    cwd: Path
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    autostart: bool = True
    autorestart: Literal["never", "always", "unexpected"] = "unexpected"
    startsecs: int = 1
    startretries: int = 3
    stopsignal: str = "TERM"
    stop_wait_seconds: int = 10
    stop_group: bool = False
    priority: int = 100


def render_program(program: Program) -> str:
    """The [program:x] section for this program.

    Raises ValueError naming the program and the value that the file format cannot carry.
    """
    if not NAME.fullmatch(program.name):
        raise ValueError(f"program name {program.name!r}: use letters, digits and _ . - only")
    where = f"program {program.name}"
    lines = [
        f"[program:{program.name}]",
        f"command={plain_value(shlex.join(program.command), where)}",
        f"directory={plain_value(str(program.cwd), where)}",
        f"stdout_logfile={plain_value(str(program.log), where)}",
        "redirect_stderr=true",
        "stdout_logfile_maxbytes=10MB",
        "stdout_logfile_backups=2",
        f"autostart={str(program.autostart).lower()}",
        f"autorestart={AUTORESTART[program.autorestart]}",
        f"startsecs={program.startsecs}",
        f"startretries={program.startretries}",
        f"stopsignal={program.stopsignal}",
        f"stopwaitsecs={program.stop_wait_seconds}",
        f"stopasgroup={str(program.stop_group).lower()}",
        "killasgroup=true",
        f"priority={program.priority}",
    ]
    if program.user is not None:
        lines.append(f"user={plain_value(program.user, where)}")
    if program.env:
        pairs = ",".join(f"{key}={_env_value(key, value, where)}" for key, value in sorted(program.env.items()))
        lines.append(f"environment={pairs}")
    return "\n".join(lines) + "\n"


def plain_value(text: str, where: str) -> str:
    """`text` escaped for supervisor's configuration file.

    Raises ValueError for what the format has no escape for: line ends, and ; or # after white space (a comment).
    """
    if re.search(r"[\r\n\0]|\s[;#]", text):
        raise ValueError(f"{where}: {text!r} has a line end, or a ; or # after a space, which supervisor cannot read")
    return text.replace("%", "%%")


def _env_value(key: str, value: str, where: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
        raise ValueError(f"{where}: environment name {key!r} is not a name")
    # supervisor strips every quote from both ends of a value and knows no escape.
    if value[:1] in ("'", '"') or value[-1:] in ("'", '"') or ('"' in value and "'" in value):
        raise ValueError(f"{where}: environment {key} has quotes that supervisor's file format cannot carry")
    quote = "'" if '"' in value else '"'
    return plain_value(f"{quote}{value}{quote}", where)
