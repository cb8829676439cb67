# syntax=docker/dockerfile:1
# The steps are the Makefile's own: `make setup` to build, `make shop index` and `make serve` to run.
# For a small CPU build of torch, give pip PyTorch's CPU index: --build-arg PIP_EXTRA_INDEX_URL=...
FROM python:3.11-slim AS build
ARG HARDWARE=cpu
ARG EXTRAS=
ARG PIP_EXTRA_INDEX_URL=
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml constraints-cpu.txt Makefile README.md LICENSE ./
COPY models models
COPY indexer indexer
COPY service service
COPY demo demo
RUN make setup HARDWARE=${HARDWARE}
# What else of pyproject.toml's extras is wanted, such as EXTRAS=milvus.
RUN test -z "${EXTRAS}" || .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    $(test "${HARDWARE}" != cpu || echo -c constraints-cpu.txt) -e ".[${HARDWARE},${EXTRAS}]"

FROM python:3.11-slim
ARG HARDWARE=cpu
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home catalens \
    && mkdir -p /app/data && chown catalens:catalens /app/data
WORKDIR /app
COPY --from=build /app /app
ENV HARDWARE=${HARDWARE} \
    OMP_WAIT_POLICY=PASSIVE \
    PYTHONUNBUFFERED=1 \
    CATALENS_HOST=0.0.0.0 \
    CATALENS_PORT=8080 \
    CATALENS_DATA_DIR=/app/data/index-2000-7
USER catalens
VOLUME /app/data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/app/.venv/bin/python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
CMD ["make", "serve"]
