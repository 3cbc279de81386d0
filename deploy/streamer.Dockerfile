# syntax=docker/dockerfile:1
# Replays a data set to MQTT as several devices. Build from the root of the repository:
#   docker build -f deploy/streamer.Dockerfile -t dewpoint-streamer .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/dewpoint
ENV PATH=/opt/dewpoint/bin:$PATH
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY hybrid_model hybrid_model
COPY services services
# scikit-learn brings the digits; other data sets are read from the folder that DEWPOINT_DATA names.
RUN pip install -c constraints.txt ".[data]"

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/dewpoint --shell /usr/sbin/nologin dewpoint \
    && install -d -o dewpoint -g dewpoint /var/lib/dewpoint
COPY --from=build /opt/dewpoint /opt/dewpoint
ENV PATH=/opt/dewpoint/bin:$PATH PYTHONUNBUFFERED=1 DEWPOINT_LOG__FORMAT=json
WORKDIR /var/lib/dewpoint
USER dewpoint
# It has no port to ask: it is healthy as long as it runs.
HEALTHCHECK NONE
ENTRYPOINT ["dewpoint", "stream"]
