# Perennial on the official Airflow image. Built and started by docker-compose.yaml; docs/installation.md explains.
# The Python of the image is the one the tests run on, and server.txt names every package of it: what is tested is
# what runs. Packages of the official image that are not named there (other providers, installers) are removed.
FROM apache/airflow:3.3.2-python3.11

LABEL org.opencontainers.image.title="Perennial" \
      org.opencontainers.image.description="A retention-marketing pipeline on Apache Airflow 3" \
      org.opencontainers.image.licenses="Apache-2.0"

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    XDG_CACHE_HOME=/tmp

# Volumes take over the owner of the folder they are first mounted on. Airflow is configured by its environment alone:
# without the empty file it would write one, and a container's file system is read-only.
USER root
RUN install -d -o airflow -g root -m 0770 /var/lib/perennial /opt/airflow/logs \
    && install -d -o airflow -g root /opt/perennial \
    && install -o airflow -g root -m 0640 /dev/null /opt/airflow/airflow.cfg

USER airflow
# uv is copied first, because it removes itself.
RUN --mount=type=bind,source=requirements/server.txt,target=/tmp/server.txt \
    cp "$(command -v uv)" /tmp/uv \
    && /tmp/uv pip sync --no-cache --compile-bytecode /tmp/server.txt

WORKDIR /opt/perennial
COPY --chown=airflow:root LICENSE README.md pyproject.toml ./
COPY --chown=airflow:root include include
COPY --chown=airflow:root dags dags
COPY --chown=airflow:root plugins plugins
RUN /tmp/uv pip install --no-cache --no-deps --editable . \
    && /tmp/uv pip check \
    && python -m compileall -q dags plugins \
    && rm /tmp/uv

# docker-compose.yaml names each command in full. dumb-init passes signals on; the official entry point is left out:
# its waiting and migrating are the init job's.
ENTRYPOINT ["/usr/bin/dumb-init", "--"]
CMD ["perennial", "--help"]
