# The wheel, made with the locked build tools.
FROM python:3.13-slim AS wheel
WORKDIR /src
COPY requirements/dev.txt requirements/dev.txt
RUN pip install --no-cache-dir --no-compile --require-hashes -r requirements/dev.txt
COPY pyproject.toml README.md LICENSE ./
COPY worker worker
COPY api_stub api_stub
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .

# What runs: the locked packages, then the wheel and nothing that it would pull in.
FROM python:3.13-slim AS installed
RUN python -m venv /opt/sendcode
COPY requirements/runtime.txt /tmp/runtime.txt
RUN /opt/sendcode/bin/pip install --no-cache-dir --require-hashes -r /tmp/runtime.txt
COPY --from=wheel /wheel /wheel
RUN /opt/sendcode/bin/pip install --no-cache-dir --no-deps /wheel/*.whl

FROM python:3.13-slim
ENV PATH=/opt/sendcode/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin sendcode
COPY --from=installed /opt/sendcode /opt/sendcode
USER 10001
WORKDIR /
EXPOSE 8080
ENTRYPOINT ["sendcode"]
