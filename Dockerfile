# syntax=docker/dockerfile:1.7
# The gateway in an image without a shell:
#   docker build -t smeuse .
#   docker buildx build --platform linux/amd64,linux/arm64 -t registry.example/smeuse --push .
# The program is always compiled on the machine's own processor, for whichever it is meant for: no emulation is needed, and
# nothing is run in the final image while it is built.

FROM --platform=$BUILDPLATFORM rust:1.89.0-bookworm AS build
ARG BUILDARCH
ARG TARGETARCH
SHELL ["/bin/bash", "-eux", "-o", "pipefail", "-c"]
WORKDIR /build
# The target, and the C tools for it that ring needs, in Cargo's and cc's own variables.
# hadolint ignore=DL3008
RUN case "$TARGETARCH" in \
        amd64) triple=x86_64-unknown-linux-gnu tools=x86-64-linux-gnu gcc=x86_64-linux-gnu-gcc ;; \
        arm64) triple=aarch64-unknown-linux-gnu tools=aarch64-linux-gnu gcc=aarch64-linux-gnu-gcc ;; \
        *) echo "there is no image for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    rustup target add "$triple"; \
    echo "export CARGO_BUILD_TARGET=$triple" >/build-env; \
    if [ "$TARGETARCH" != "$BUILDARCH" ]; then \
        apt-get update; \
        apt-get install -y --no-install-recommends "gcc-$tools" "libc6-dev-$TARGETARCH-cross"; \
        rm -rf /var/lib/apt/lists/*; \
        name=${triple//-/_}; \
        echo "export CARGO_TARGET_${name^^}_LINKER=$gcc CC_$name=$gcc" >>/build-env; \
    fi
# The dependencies first, with an empty program around them: they are built again only when the lock file changes. The
# layer keeps what was built, the cache mount what was downloaded.
COPY Cargo.toml Cargo.lock ./
RUN --mount=type=cache,sharing=locked,target=/usr/local/cargo/registry \
    source /build-env; \
    mkdir -p src benches/relay; \
    echo 'fn main() {}' >src/main.rs; \
    echo 'fn main() {}' >benches/relay/main.rs; \
    touch src/lib.rs; \
    cargo build --locked --release; \
    rm -r src benches
COPY . .
# Cargo goes by time: what was copied must be newer than the empty program.
RUN --mount=type=cache,sharing=locked,target=/usr/local/cargo/registry \
    source /build-env; \
    touch src/main.rs src/lib.rs; \
    cargo build --locked --release; \
    install -D "target/$CARGO_BUILD_TARGET/release/smeuse" /out/smeuse

FROM --platform=$BUILDPLATFORM node:22.12.0-bookworm-slim AS demo
WORKDIR /demo
COPY demo/package.json demo/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --no-audit --no-fund
COPY demo/ ./

# The demo as a team's application would be: a web server of its own.
FROM nginxinc/nginx-unprivileged:1.28.0-alpine AS demo-server
LABEL org.opencontainers.image.title="Smeuse demo" \
      org.opencontainers.image.description="A page that speaks AMQP, for trying Smeuse out" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY config/demo-server.conf /etc/nginx/conf.d/default.conf
COPY --from=demo /demo /usr/share/nginx/html
USER 101:101
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
    CMD ["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/"]

# What the program needs and nothing else: glibc, libgcc, the platform's roots for amqps:// brokers. No shell, no package
# manager; a third of debian-slim. It has no version tags: pin the digest where builds must repeat.
FROM gcr.io/distroless/cc-debian12:nonroot AS gateway
LABEL org.opencontainers.image.title="Smeuse" \
      org.opencontainers.image.description="An AMQP-over-WebSocket gateway: puts browsers on RabbitMQ" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.documentation="docs/operations.md" \
      org.opencontainers.image.base.name="gcr.io/distroless/cc-debian12:nonroot"
COPY --from=build /out/smeuse /usr/local/bin/smeuse
COPY config/smeuse.toml /etc/smeuse/smeuse.toml
USER 10070:10070
EXPOSE 15670 15673
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/usr/local/bin/smeuse", "--config", "/etc/smeuse/smeuse.toml", "--health"]
ENTRYPOINT ["/usr/local/bin/smeuse"]
CMD ["--config", "/etc/smeuse/smeuse.toml"]
