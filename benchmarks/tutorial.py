"""The worker that tutorials build: random digits, SETEX, the SDK's `messages.create`.

Kinder than most: the SDK's client is made once in each process, not once in each task. All else
is as Celery, redis-py and the SDK come; only the result backend is left out.
"""

import os
import random
from functools import lru_cache

import redis
from celery import Celery
from twilio.rest import Client

app = Celery("tutorial", broker=os.environ["TUTORIAL_BROKER_URL"])


@lru_cache(maxsize=1)
def store() -> "redis.Redis":
    return redis.Redis.from_url(os.environ["TUTORIAL_BROKER_URL"])


@lru_cache(maxsize=1)
def client() -> Client:
    made = Client("AC" + "1" * 32, "token")
    made.api.base_url = os.environ["TUTORIAL_PROVIDER_URL"]
    return made


@app.task
def send_code(to: str) -> None:
    code = str(random.randint(100_000, 999_999))
    store().setex(f"otp:{to}", 600, code)
    client().messages.create(
        to=to, from_="+15005550006", body=f"Your Bench verification code is: {code}"
    )
