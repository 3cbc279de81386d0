# syntax=docker/dockerfile:1
# The edge worker: no torch, no compiler, no root. Build from the root of the repository:
#   docker build -f deploy/edge.Dockerfile -t dewpoint-edge .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# The edge engine's kernels are C; without a compiler the install would succeed and the slow reference serve.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/dewpoint
ENV PATH=/opt/dewpoint/bin:$PATH
WORKDIR /src
COPY pyproject.toml setup.py constraints.txt README.md LICENSE ./
COPY hybrid_model hybrid_model
COPY services services
RUN pip install -c constraints.txt .

FROM ${PYTHON_IMAGE}
# The spool must belong to the user before the first volume is mounted on it: a new volume copies this folder.
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/dewpoint --shell /usr/sbin/nologin dewpoint \
    && install -d -o dewpoint -g dewpoint /var/lib/dewpoint /var/lib/dewpoint/spool
COPY --from=build /opt/dewpoint /opt/dewpoint
COPY deploy/healthcheck.py /usr/local/share/dewpoint/healthcheck.py
ENV PATH=/opt/dewpoint/bin:$PATH PYTHONUNBUFFERED=1 \
    DEWPOINT_LOG__FORMAT=json DEWPOINT_METRICS__HOST=0.0.0.0 DEWPOINT_METRICS__PORT=9464 \
    DEWPOINT_EDGE__SPOOL=/var/lib/dewpoint/spool
WORKDIR /var/lib/dewpoint
USER dewpoint
VOLUME /var/lib/dewpoint/spool
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "/usr/local/share/dewpoint/healthcheck.py"]
ENTRYPOINT ["dewpoint", "edge"]
