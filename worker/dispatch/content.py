"""What a delivery says: the text of a message, the words of a call."""

import json

from worker import messages
from worker.codes import Keyring
from worker.prepared import Row
from worker.providers import Outgoing
from worker.states import Channel


class Content:
    """
    :param base_url: ours, as the provider sees it
    """

    def __init__(self, keyring: Keyring, base_url: str) -> None:
        self._keyring = keyring
        self._callbacks = f"{base_url}/callbacks/twilio"

    def outgoing(self, job: Row, dies_at: float) -> Outgoing:
        """The message or call of a job.

        :param dies_at: when the code dies, on this process's monotonic clock
        :raises ValueError: the text cannot be made
        :raises KeyMissingError: the key of the row is not configured
        :raises cryptography.exceptions.InvalidTag: the number belongs to another row
        """
        channel = Channel(job["channel"])
        code = self._code(job) if channel is Channel.SMS else None
        return Outgoing(
            delivery_sid=job["sid"],
            channel=channel,
            to=self._keyring.open_number(
                job["key_id"], job["number_sealed"], job["verification_sid"]
            ),
            content=self._words(job) if code is None else self._text(job, code),
            callback_url=f"{self._callbacks}/{channel}/{job['sid']}",
            dies_at=dies_at,
            messaging_service_sid=job["messaging_service_sid"],
            send_digits=job["send_digits"],
            code=code,
            replaced=bool(job["own_code"]),
        )

    def spoken(self, job: Row) -> str:
        """The TwiML that reads the code."""
        return messages.call_twiml(
            code=self._code(job), brand=_spoken_brand(job), locale=job["locale"]
        )

    def _words(self, job: Row) -> str:
        if not job["press_key"]:
            return self.spoken(job)
        return messages.call_gate_twiml(
            brand=_spoken_brand(job),
            locale=job["locale"],
            action_url=f"{self._callbacks}/gate/{job['sid']}",
        )

    def _text(self, job: Row, code: str) -> str:
        return messages.sms_text(
            code=code,
            brand=job["brand"],
            locale=job["locale"],
            do_not_share=job["do_not_share"],
            app_hash=job["app_hash"],
            origin=job["web_origin"],
            pattern=job["pattern"],
            payment=self._payment(job),
        )

    def _payment(self, job: Row) -> tuple[str, str] | None:
        if job["payment_sealed"] is None:
            return None
        owner = f"payment {job['verification_sid']}"
        amount, payee = json.loads(self._keyring.open(job["key_id"], job["payment_sealed"], owner))
        return amount, payee

    def _code(self, job: Row) -> str:
        if job["own_code"]:
            if job["code_sealed"] is None:
                raise ValueError("the backend's own code is not kept any more")
            owner = f"code {job['verification_sid']}"
            return self._keyring.open(job["key_id"], job["code_sealed"], owner)
        return self._keyring.derive_code(job["key_id"], job["salt"], job["code_length"])


def _spoken_brand(job: Row) -> str:
    brand: str = job["spoken_name"] or job["brand"]
    return brand
