# The image: the binary, CA certificates, and nothing else.
#
#   docker build -t offsite .                                       # builds the binary in a container; for the labels,
#                                                                   # --build-arg VERSION=… --build-arg REVISION=…
#   docker buildx build --platform linux/amd64,linux/arm64 .        # for both, each on or emulating its own
#   docker build --build-arg BUILDER=registry.example/rust:1.95 .   # with a builder of your own
#   make image                                                      # with a binary built outside; pulls nothing

# What builds the binary: Rust 1.95 or later, gcc, make, and Debian's CA certificates.
ARG BUILDER=docker.io/library/rust:1.95-bookworm

FROM ${BUILDER} AS built
WORKDIR /src
COPY . .
RUN make build \
 && mkdir -p /image/etc/ssl/certs \
 && cp target/*/release/offsite /image/offsite \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/

# `make image` takes what follows, and gives it a binary from outside.
FROM scratch
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="offsite" \
      org.opencontainers.image.description="One backup pass from containers to S3: incremental, verified, restorable" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=built /image /
# Nobody in particular. Reads what everybody may read; for files of other owners see docs/OPERATIONS.md.
USER 65532:65532
ENTRYPOINT ["/offsite"]
CMD ["run"]
