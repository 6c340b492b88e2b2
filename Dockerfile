# syntax=docker/dockerfile:1
# The gateway and its demo page in one small image: docker build -t smeuse .

FROM rust:1-bookworm AS build
WORKDIR /build
# The dependencies first, with an empty program around them: they are built again only when the lock file changes.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src benches/relay \
    && echo 'fn main() {}' >src/main.rs \
    && echo 'fn main() {}' >benches/relay/main.rs \
    && touch src/lib.rs \
    && cargo build --locked --release \
    && rm -r src benches
COPY . .
# Cargo goes by time: what was copied must be newer than the empty program.
RUN touch src/main.rs src/lib.rs && cargo build --locked --release

FROM node:22-bookworm-slim AS demo
WORKDIR /demo
COPY demo/package.json demo/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY demo/ ./

FROM debian:bookworm-slim
# The platform's roots, for amqps:// brokers.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10070 --no-create-home --shell /usr/sbin/nologin smeuse
COPY --from=build /build/target/release/smeuse /usr/local/bin/smeuse
COPY --from=build /build/config/smeuse.toml /etc/smeuse/smeuse.toml
COPY --from=demo /demo /usr/share/smeuse/demo
USER 10070
EXPOSE 15670 15673
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/smeuse"]
CMD ["--config", "/etc/smeuse/smeuse.toml"]
