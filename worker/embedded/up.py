"""`./dev up`: everything on one machine, shown to work, until Ctrl-C."""

import argparse
import hashlib
import hmac
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from worker.embedded import demo
from worker.embedded.broker import Broker, is_free
from worker.embedded.claim import stop_leftovers
from worker.embedded.home import Home
from worker.embedded.kept import say
from worker.embedded.processes import StartError
from worker.embedded.stack import PYTHON, Stack
from worker.embedded.supervisor import StoppedError, Supervisor

DEFAULT_PORT = 8080


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; 0 after a stop, 1 when a part cannot start."""
    options = _options(argv)
    os.umask(0o077)  # databases and logs too are the owner's alone
    try:
        home = Home(Path(options.data_dir)) if options.data_dir else Home.default()
        with Supervisor(home, f"http://127.0.0.1:{options.port}") as supervisor:
            with suppress(StoppedError):
                _up(supervisor, options.port, options.demo)
            say("stopping")
    except StartError as error:
        say(str(error))
        return 1
    except OSError as error:
        say(f"the data folder cannot be used: {error}")
        return 1
    return 0


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev up", description=__doc__)
    parser.add_argument("--no-demo", dest="demo", action="store_false", help="do not send codes")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="default %(default)s")
    parser.add_argument("--data-dir", help="default $SENDCODE_HOME or .sendcode")
    options = parser.parse_args(argv)
    if not 1 <= options.port <= 65000:
        parser.error("--port must lie between 1 and 65000")
    return options


def _up(supervisor: Supervisor, port: int, with_demo: bool) -> None:
    home, begun = supervisor.home, time.monotonic()
    broker = None if os.environ.get("SENDCODE_BROKER_URL") else Broker(home.root)
    adopted = broker.child if broker else None
    stop_leftovers(home.run, home.root, adopted.pid if adopted else None)
    if not is_free(port):
        raise StartError(f"port {port} is in use: stop what listens there or choose another --port")
    stack = Stack(home, port, next(p for p in range(port + 1, 65536) if is_free(p)), broker)
    say(f"starting; data and logs in {home.root}")
    if broker and adopted:
        supervisor.adopt(broker.spec, adopted)
    elif broker:
        supervisor.launch(broker.spec)
    _bring_up(supervisor, stack)
    say(f"ready in {time.monotonic() - begun:.1f} s")
    threading.Thread(target=_show, args=(stack, with_demo), daemon=True).start()
    supervisor.watch()


def _bring_up(supervisor: Supervisor, stack: Stack) -> None:
    """Broker and database first; then the rest side by side, dev.env before "ready"."""
    home = supervisor.home
    home.publish(SENDCODE_URL=stack.url)
    home.keep_settings(stack.settings)
    needs_service = not home.public["SENDCODE_SERVICE_SID"] or stack.database_is_new
    supervisor.launch(stack.sandbox)
    supervisor.run("migrate", stack.env, [*PYTHON, "worker.cli", "migrate"])
    if stack.broker:
        supervisor.ready("broker")
    supervisor.launch(stack.worker, stack.relay, stack.api)
    if needs_service:
        create = [*PYTHON, "worker.cli", "--json", "services", "create", "Example"]
        home.publish(SENDCODE_SERVICE_SID=_sid(supervisor.run("services", stack.env, create)))
    if needs_service or not home.public["SENDCODE_AUTHY_API_KEY"]:
        service = home.public["SENDCODE_SERVICE_SID"]
        create = [*PYTHON, "worker.cli", "authy", "create", "dev.env", "--service", service]
        home.publish(SENDCODE_AUTHY_API_KEY=_key(supervisor.run("authy", stack.env, create)))
    supervisor.ready()


def _sid(output: str) -> str:
    try:
        sid = str(json.loads(output)["sid"])
    except (ValueError, KeyError, TypeError):
        sid = ""
    if not re.fullmatch(r"VA[0-9a-f]{32}", sid):
        raise StartError("services: the first service was not created: no sid in the answer")
    return sid


def _key(output: str) -> str:
    key = output.strip()
    if not re.fullmatch(r"[0-9a-f]{64}", key):
        raise StartError("authy: the first key was not created: no key in the answer")
    return key


def _show(stack: Stack, with_demo: bool) -> None:
    if with_demo:
        demo.show(stack.home.public, stack.env, _print)
    home, console = stack.home, _console_link(stack)
    folder = os.path.relpath(home.root)
    file = shlex.quote(str(home.root if folder.startswith("..") else Path(folder)) + "/dev.env")
    _print(f"""
sendcode is at  {stack.url}   (API pages: {stack.url}/docs)
The console is at {console}
The phone is at {stack.url}/sandbox/phone?key={phone_key(home.public["SENDCODE_AUTH_TOKEN"])}

Send a code yourself, then read it on the phone:

  . {file if file.startswith(("/", "'")) else "./" + file}
  curl -u "$SENDCODE_ACCOUNT_SID:$SENDCODE_AUTH_TOKEN" \\
    "$SENDCODE_URL/v2/Services/$SENDCODE_SERVICE_SID/Verifications" \\
    -d Channel=sms --data-urlencode To={demo.EXAMPLE_NUMBER}

Ctrl-C stops everything.""")


def _console_link(stack: Stack) -> str:
    """A link that signs the first operator in once, or the console's address."""
    command = [*PYTHON, "worker.cli", "operators", "first-link"]
    done = subprocess.run(command, env=stack.env, capture_output=True, text=True)  # noqa: S603
    return done.stdout.strip() or f"{stack.url}/console/"


def phone_key(auth_token: str) -> str:
    """What opens the phone's page without the account's token."""
    return hmac.new(auth_token.encode(), b"sandbox-phone", hashlib.sha256).hexdigest()[:32]


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
