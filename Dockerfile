# One static binary, certificates and time zones; no shell, no packages, no
# passwords. Every worker of a fleet runs from this one image.
ARG GO_VERSION=1.26.8

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION}-bookworm AS build
# The image brings certificates, not time zones; ours are read by scheduled
# messages and by log lines in the operator's zone.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates tzdata \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /switchboard ./cmd/switchboard

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /usr/share/zoneinfo /usr/share/zoneinfo
COPY --from=build /switchboard /switchboard
# A number, not a name: there is no /etc/passwd, and Kubernetes' runAsNonRoot
# wants to see that it is not 0.
USER 65532:65532
# /metrics, /healthz, /readyz, /status
ENV SWITCHBOARD_HTTP=:8080
EXPOSE 8080
# No HEALTHCHECK: not every command serves /readyz. docker-compose.yml has one.
ENTRYPOINT ["/switchboard"]
CMD ["help"]
