"""`sendcode factors` beside the running processes."""

import csv
import io
import json
import stat
from pathlib import Path

import pytest

from tests.acceptance.authenticator import App, new_identity
from tests.acceptance.running import Up
from tests.acceptance.test_cli import DONE, NOT_FOUND, USAGE, result, run

pytestmark = pytest.mark.parametrize("up", ["sqlite"], indirect=True)

FAILED = 1
SECRETS = ["GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43U"]


@pytest.fixture
def service(up: Up) -> str:
    return str(result(up, "services", "create", "Shop")["sid"])


def factors(up: Up) -> int:
    return int(up.rows("SELECT count(*) AS n FROM factors")[0]["n"])


def logs(up: Up) -> str:
    return "".join(path.read_text(errors="replace") for path in (up.root / "log").iterdir())


@pytest.mark.parametrize("kind", ["csv", "otpauth"])
def test_out_and_in_again(up: Up, service: str, tmp_path: Path, kind: str) -> None:
    """An export is a file of ours alone with every secret in it, which another service takes; no
    output and no log has a secret."""
    users = [new_identity() for _ in SECRETS]
    content = "identity,secret,friendly_name,period\n"
    content += f"{users[0]},{SECRETS[0]},=1+1,60\n{users[1]},{SECRETS[1]},Phone,60\n"
    said = [run(up, "factors", "import", "-", "--service", service, "--verified", stdin=content)]
    file = tmp_path / "factors"
    words = ("factors", "export", str(file), "--service", service, "--format", kind)
    refused = run(up, *words)
    assert (refused[0], "--yes-show-secrets" in refused[2], file.exists()) == (USAGE, True, False)
    said += [refused, run(up, *words, "--yes-show-secrets")]
    assert said[-1][0] == DONE, said[-1]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert all(secret in file.read_text() for secret in SECRETS)
    if kind == "csv":
        cells = [cell for line in csv.reader(io.StringIO(file.read_text())) for cell in line]
        assert "'=1+1" in cells
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in cells)
    again = run(up, *words, "--yes-show-secrets")
    assert again[0] == USAGE, "an export overwrites nothing"
    other = str(result(up, "services", "create", "Other")["sid"])
    said.append(run(up, "factors", "import", str(file), "--service", other, "--verified", "--json"))
    assert json.loads(said[-1][1]) == {"imported": 2, "bad": 0}
    where = f"/v2/Services/{other}/Entities/{users[0]}"
    (there,) = up.http.get(f"{where}/Factors").json()["factors"]
    assert (there["friendly_name"], there["status"]) == ("=1+1", "verified")
    app = App(f"otpauth://totp/Shop:x?secret={SECRETS[0]}&period=60")
    form = {"FactorSid": there["sid"], "AuthPayload": app.code(1)}
    assert up.http.post(f"{where}/Challenges", data=form).json()["status"] == "approved"
    text = "".join(part for one in said for part in one[1:]) + logs(up)
    assert not any(secret in text for secret in SECRETS)


def test_a_bad_file_is_not_taken(up: Up, service: str) -> None:
    """Every bad row has one line that names it, and nothing is written unless bad rows are
    skipped."""
    user = new_identity()
    content = f"identity,secret\nshort,{SECRETS[0]}\n{user},{SECRETS[0]}\n{user},AAAABBBB\n"
    words = ("factors", "import", "-", "--service", service)
    before = factors(up)
    code, output, errors = run(up, *words, stdin=content)
    assert (code, output) == (FAILED, "0 imported, 2 bad\n")
    assert [line[:17] for line in errors.splitlines()] == ["sendcode: line 2:", "sendcode: line 4:"]
    assert factors(up) == before
    code, output, errors = run(up, *words, "--skip-bad", stdin=content)
    assert (code, output) == (DONE, "1 imported, 2 bad\n")
    assert len(errors.splitlines()) == 2
    assert factors(up) == before + 1
    code, _, errors = run(up, *words, stdin=f"identity,secret\n{user},{SECRETS[0]}\n")
    assert (code, "line 2: is there already" in errors) == (FAILED, True)
    assert not any(secret in errors for secret in [*SECRETS, "AAAABBBB"])
    code, _, errors = run(up, "factors", "import", "/no/such/file", "--service", service)
    assert (code, "Traceback" in errors) == (USAGE, False)


def test_enable_and_reseal(up: Up, service: str) -> None:
    """A factor that is not disabled is not found; under one key there is nothing to seal anew."""
    assert run(up, "factors", "enable", "YF" + "0" * 32)[0] == NOT_FOUND
    assert result(up, "factors", "reseal") == {"resealed": 0}
    (key,) = result(up, "keys", "list")
    assert key["factors"] == factors(up)
