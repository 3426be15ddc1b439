# Two stages: the wheels are installed where a compiler may be needed, and only the result goes on.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.txt .
RUN python -m venv /opt/greenlight && /opt/greenlight/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY core core
COPY storage storage
COPY sim sim
RUN /opt/greenlight/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim
RUN useradd --system --create-home --home-dir /data greenlight
COPY --from=build /opt/greenlight /opt/greenlight
USER greenlight
WORKDIR /data
ENV PATH=/opt/greenlight/bin:$PATH PYTHONUNBUFFERED=1 DATABASE_PATH=/data/greenlight.db
VOLUME /data
# TWS or IB Gateway is on another host or in another container: set IBKR_HOST and IBKR_PORT, and the rest of .env.example.
ENTRYPOINT ["greenlight"]
