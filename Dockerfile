# Two stages: the wheels are installed where a compiler may be needed, and only the result goes on.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /opt/greenlight && /opt/greenlight/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.txt
COPY pyproject.toml README.md LICENSE .env.example ./
COPY bot bot
COPY core core
COPY storage storage
COPY sim sim
RUN /opt/greenlight/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim
# The numbers are fixed, so that a volume keeps its owner over a new image.
RUN groupadd --gid 10001 greenlight \
 && useradd --uid 10001 --gid 10001 --no-log-init --home-dir /data --shell /usr/sbin/nologin greenlight \
 && install -d -o greenlight -g greenlight -m 0700 /data
COPY --from=build /opt/greenlight /opt/greenlight
USER 10001:10001
# Everything that is written goes to /data, .env of `greenlight setup` included: the rest of the file system may be read-only.
WORKDIR /data
VOLUME /data
ENV PATH=/opt/greenlight/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/data DATABASE_PATH=/data/greenlight.db
STOPSIGNAL SIGTERM
# Asks the running bot whether it is reconciled and polling.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["greenlight", "health"]
ENTRYPOINT ["greenlight"]
CMD ["run"]
