"""Authenticator apps: bring factors in, take them out, enable disabled ones, change the key."""

import sys
from collections.abc import Iterable

import click

from worker.cli.acting import me
from worker.cli.base import FAILED, Group, json_option, main, output, parts, the_service
from worker.cli.files import write_new
from worker.errors import InvalidParameterError, NotFoundError
from worker.factors import rows
from worker.factors.rows import BadRow, FactorRow


@main.group(cls=Group)
def factors() -> None:
    """Authenticator apps: bring factors in and take them out."""


@factors.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8-sig"))
@click.option("--service", help="VA…; may be left out where there is one.")
@click.option("--verified", is_flag=True, help="Their users have shown right codes elsewhere.")
@click.option("--skip-bad", is_flag=True, help="Write the good rows although there are bad ones.")
@json_option
def factors_import(
    file: Iterable[str], service: str | None, verified: bool, skip_bad: bool
) -> None:
    """Bring in the factors of FILE, or of stdin with -.

    FILE is CSV with the columns identity and secret or uri, and if need be friendly_name, status,
    algorithm, digits, period and skew; or lines of IDENTITY otpauth://totp/…
    """
    good, bad = _read(file)
    done = 0
    if good and (skip_bad or not bad):
        ours = parts()
        done, more = ours.factors.import_factors(
            ours.settings.account_sid,
            the_service(ours, service),
            good,
            verified=verified,
            skip_bad=skip_bad,
        )
        bad += more
    for row in bad:
        click.echo(f"sendcode: line {row.number}: {row.reason}", err=True)
    output({"imported": done, "bad": len(bad)}, f"{done} imported, {len(bad)} bad")
    if bad and not skip_bad:
        sys.exit(FAILED)


def _read(file: Iterable[str]) -> tuple[list[FactorRow], list[BadRow]]:
    try:
        found = list(rows.read("".join(file)))
    except UnicodeDecodeError:
        raise InvalidParameterError("FILE", "must be UTF-8") from None
    return (
        [row for row in found if isinstance(row, FactorRow)],
        [row for row in found if isinstance(row, BadRow)],
    )


@factors.command("export")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--service", help="VA…; may be left out where there is one.")
@click.option("--format", "kind", type=click.Choice(["csv", "otpauth"]), default="csv")
@click.option("--yes-show-secrets", is_flag=True, help="Needed: FILE will hold every secret.")
@json_option
def factors_export(file: str, service: str | None, kind: str, yes_show_secrets: bool) -> None:
    """Write every factor with its secret to FILE, a new one that only you can read."""
    if not yes_show_secrets:
        raise InvalidParameterError(
            "--yes-show-secrets", "is needed: whoever reads the file can make everyone's codes"
        )
    ours = parts()
    issuer, found = ours.factors.export_factors(
        ours.settings.account_sid, the_service(ours, service), me()
    )
    lines = _csv(found) if kind == "csv" else (rows.uri_row(row, issuer) for row in found)
    written = write_new(file, lines) - (kind == "csv")
    output({"exported": written}, f"{written} exported")


def _csv(found: Iterable[FactorRow]) -> Iterable[str]:
    yield rows.csv_head()
    for row in found:
        yield rows.csv_row(row)


@factors.command("enable")
@click.argument("sid")
@json_option
def factors_enable(sid: str) -> None:
    """Let the factor SID (YF…), disabled after too many wrong codes, try again."""
    ours = parts()
    if not ours.factors.enable_factor(ours.settings.account_sid, sid, me()):
        raise NotFoundError("disabled factor")
    output({"enabled": True}, "enabled")


@factors.command("reseal")
@json_option
def factors_reseal() -> None:
    """Encrypt the secrets that an older key encrypted with the first one."""
    done = parts().factors.reseal()
    output({"resealed": done}, f"{done} resealed")
