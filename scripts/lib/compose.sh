# shellcheck shell=bash
# docker compose: the last way to a server, for machines with nothing but Docker.

compose() {
	local -a program=(docker compose)
	docker compose version >/dev/null 2>&1 || program=(docker-compose)
	SERVICES_PORT="$PORT" SERVICES_PASSWORD="$PASSWORD" \
		"${program[@]}" -p "$PROJECT" -f "$LIB/compose.yml" "$@" >>"$SERVICES_DIR/log/compose.log" 2>&1 9>&-
}

can_compose() {
	have docker && docker info >/dev/null 2>&1 || return 1
	docker compose version >/dev/null 2>&1 || have docker-compose
}

# compose_start NAME starts one container on a free loopback port; each name is
# a project of its own, so that its port stays when the other one comes or goes.
compose_start() {
	[[ ${PROJECT:-} ]] || PROJECT="switchboard-$1-$(random_hex 4)"
	compose up -d "$1" ||
		die "docker compose could not start $1; the reason is in $SERVICES_DIR/log/compose.log"
}
compose_down() { compose down --volumes; }
