# Onrecord in a box.
#
#   docker build -t onrecord .                                    compiled here
#   docker build -t onrecord --build-arg BINARY=prebuilt .        with the binary at ./onrecord.bin
#
# podman before 4.4 needs BINARY said in any case (`--build-arg BINARY=compiled`), and `--format docker`
# for the health check.
#
# Base images are arguments, so that a mirror or another distribution can be used. The
# runtime image needs glibc (not older than the build image's) and nothing else: no shell
# runs in it. The image holds no configuration and no secret: mount them.
ARG BUILD_IMAGE=rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim
# Where the binary comes from: `compiled` or `prebuilt`.
ARG BINARY=compiled

# --- What the build context brings along --------------------------------------------
FROM scratch AS prebuilt
COPY onrecord.bi[n] /onrecord

# --- Compiled from the sources --------------------------------------------------------
FROM ${BUILD_IMAGE} AS compiled
# The C compiler and make are for jemalloc and AWS-LC.
RUN command -v cc >/dev/null && command -v make >/dev/null && command -v cmake >/dev/null \
 || { apt-get update && apt-get install -y --no-install-recommends gcc g++ make cmake libc6-dev \
      && rm -rf /var/lib/apt/lists/*; }
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY soak soak
COPY benches benches
COPY catalogues catalogues
COPY README.md LICENSE ./
# What docs/performance.md measures; `release` is built in half the time.
ARG PROFILE=dist
RUN cargo build --locked --profile "$PROFILE" --bin onrecord \
 && cp target/*/onrecord /onrecord && strip /onrecord

# --- Folders with the right owner, and the roots of trust -----------------------------
FROM ${BUILD_IMAGE} AS surroundings
RUN mkdir -p /out/var/lib/onrecord /out/etc/onrecord /out/etc/ssl/certs \
 && chown 65532:65532 /out/var/lib/onrecord \
 && chmod 0750 /out/var/lib/onrecord \
 && if [ -s /etc/ssl/certs/ca-certificates.crt ]; then cp /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/; fi

FROM ${BINARY} AS binary

# --- The image ------------------------------------------------------------------------
FROM ${RUNTIME_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Onrecord" \
      org.opencontainers.image.description="An HTTP gateway that puts every API request on the record" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=surroundings /out/ /
COPY --from=binary /onrecord /usr/local/bin/onrecord
# A number, so that an orchestrator can see that it is not root. It is in no passwd file.
USER 65532:65532
WORKDIR /var/lib/onrecord
VOLUME /var/lib/onrecord
ENV ONRECORD_CONFIG=/etc/onrecord/proxy.toml
# SIGTERM: running requests end (server.grace, 30 s), the last records are delivered
# (server.flush, 20 s). Give it 60 s before it is killed.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=10s --retries=3 CMD ["onrecord", "health"]
ENTRYPOINT ["onrecord"]
CMD ["run"]
