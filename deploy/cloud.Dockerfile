# syntax=docker/dockerfile:1
# The cloud worker: torch for CPUs by default. Build from the root of the repository:
#   docker build -f deploy/cloud.Dockerfile -t dewpoint-cloud .
# For NVIDIA GPUs take torch from PyPI: --build-arg TORCH_INDEX=https://pypi.org/simple
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/dewpoint
ENV PATH=/opt/dewpoint/bin:$PATH
WORKDIR /src
# torch first, in a layer of its own: it is large, and changes less often than the rest. Its own dependencies come from PyPI.
COPY constraints.txt ./
RUN pip install --index-url ${TORCH_INDEX} --extra-index-url https://pypi.org/simple -c constraints.txt torch
COPY pyproject.toml README.md LICENSE ./
COPY hybrid_model hybrid_model
COPY services services
RUN pip install -c constraints.txt ".[cloud]"

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/dewpoint --shell /usr/sbin/nologin dewpoint \
    && install -d -o dewpoint -g dewpoint /var/lib/dewpoint
COPY --from=build /opt/dewpoint /opt/dewpoint
COPY deploy/healthcheck.py /usr/local/share/dewpoint/healthcheck.py
ENV PATH=/opt/dewpoint/bin:$PATH PYTHONUNBUFFERED=1 \
    DEWPOINT_LOG__FORMAT=json DEWPOINT_METRICS__HOST=0.0.0.0 DEWPOINT_METRICS__PORT=9464
WORKDIR /var/lib/dewpoint
USER dewpoint
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "/usr/local/share/dewpoint/healthcheck.py"]
ENTRYPOINT ["dewpoint", "cloud"]
