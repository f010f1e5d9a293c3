# shellcheck shell=bash
# PostgreSQL: found, installed or started, and stopped again.
# HOW is external (it was running before), private (we started it) or compose.

POSTGRES_STATE=(HOW URL DIR PORT PASSWORD OWNER PROJECT READY)
postgres_clear() { clear_variables "${POSTGRES_STATE[@]}"; }
postgres_save() { save postgres "${POSTGRES_STATE[@]}"; }

# Leaves PostgreSQL starting, or already there; postgres_await waits for it.
postgres_find() {
	postgres_clear
	if load postgres && postgres_still_there; then
		[[ ${DATABASE_URL:-$URL} == "$URL" ]] ||
			say "DATABASE_URL is not used: a PostgreSQL is up already; to change, say: scripts/services down"
		return
	fi
	postgres_clear
	if [[ ! ${PRIVATE_ONLY:-} ]] && postgres_external; then
		postgres_save
		return
	fi
	postgres_clear
	if postgres_program initdb >/dev/null; then
		postgres_create
	elif can_install; then
		packages_install "no PostgreSQL at hand" postgresql
		postgres_create
	elif can_compose; then
		HOW=compose PORT="$(free_port)" PASSWORD="$(random_hex)"
		postgres_url
		postgres_start
	else
		die "no PostgreSQL: none answers at DATABASE_URL or 127.0.0.1:5432 (postgres/postgres), no initdb is installed, installing it takes root on Debian or Ubuntu, and there is no working docker compose. Set DATABASE_URL to one, or install PostgreSQL, or start Docker"
	fi
}

# What was up before: another's must answer; ours is started again when it died,
# unless it died before it was complete.
postgres_still_there() {
	if [[ $HOW == external ]]; then
		[[ ! ${PRIVATE_ONLY:-} ]] && postgres_login "$URL"
	elif [[ $HOW == private && ! $READY ]]; then
		postgres_down
		return 1
	else
		postgres_alive || postgres_start
	fi
}

postgres_external() {
	case "${DATABASE_URL:-}" in
	postgres://* | postgresql://*)
		if postgres_login "$DATABASE_URL"; then
			HOW=external URL="$DATABASE_URL"
			return
		fi
		say "DATABASE_URL is set, but no PostgreSQL lets us in at $(without_password "$DATABASE_URL"); looking elsewhere"
		;;
	esac
	URL="postgres://postgres:postgres@127.0.0.1:5432/postgres?sslmode=disable"
	listening 127.0.0.1 5432 && postgres_login "$URL" && HOW=external
}

# postgres_login URL: whether a query is answered. Without psql only an open
# port can be asked for, which is enough to believe what DATABASE_URL says.
postgres_login() {
	local psql port
	if psql="$(postgres_program psql)"; then
		PGCONNECT_TIMEOUT=5 PGPASSWORD="$(url_part "$1" password)" \
			"$psql" -XAtqwc 'select 1' "$(without_password "$1" | sed 's/:\*\*\*@/@/')" >/dev/null 2>&1 9>&-
	else
		port="$(url_part "$1" port)"
		listening "$(url_part "$1" host)" "${port:-5432}" && [[ $1 == "${DATABASE_URL:-}" || $HOW == compose ]]
	fi
}

# Debian keeps the server's programs out of the PATH, one directory a version.
postgres_program() {
	local found
	found="$(printf '%s\n' /usr/lib/postgresql/*/bin/"$1" /usr/pgsql-*/bin/"$1" /opt/homebrew/opt/postgresql*/bin/"$1" | sort -V | while read -r file; do
		[[ -x $file ]] && echo "$file"
	done | tail -n 1)" || true
	[[ $found ]] || found="$(command -v "$1")" || return 1
	echo "$found"
}

# PostgreSQL refuses to run as root, and another user may not reach the
# checkout: root's cluster lives in /var/tmp. (/tmp may be memory, where fsync
# costs nothing and measurements would lie.)
postgres_place() {
	if [[ $(id -u) != 0 ]]; then
		OWNER="" DIR="$SERVICES_DIR/postgres"
		rm -rf "$DIR"
		mkdir -m 700 "$DIR"
	else
		have runuser || die "PostgreSQL does not run as root, and runuser (util-linux) is not there to start it as another user"
		OWNER=postgres
		id "$OWNER" >/dev/null 2>&1 || OWNER=nobody
		DIR="$(mktemp -d /var/tmp/switchboard-postgres.XXXXXX)"
		chown "$OWNER" "$DIR"
	fi
}

as_owner() {
	if [[ ! $OWNER ]]; then
		"$@"
	else
		runuser -u "$OWNER" -- "$@"
	fi 9>&-
}

postgres_url() {
	URL="postgres://switchboard:$PASSWORD@127.0.0.1:$PORT/switchboard?sslmode=disable"
}

postgres_create() {
	HOW=private PORT="$(free_port)" PASSWORD="$(random_hex)"
	postgres_url
	postgres_place
	postgres_save
	(cd / && postgres_initialise) >"$SERVICES_DIR/log/initdb.log" 2>&1 ||
		die "initdb failed; the reason is in $SERVICES_DIR/log/initdb.log"
	postgres_start
	postgres_create_database
	READY=1
	postgres_save
}

# --no-sync hurries the empty cluster only; the server runs with fsync on.
postgres_initialise() {
	printf '%s\n' "$PASSWORD" | as_owner tee "$DIR/password" >/dev/null &&
		as_owner "$(postgres_program initdb)" -D "$DIR/data" -U switchboard --pwfile="$DIR/password" \
			--auth=scram-sha-256 --encoding=UTF8 --locale=C --no-sync &&
		rm "$DIR/password" &&
		postgres_settings | as_owner tee -a "$DIR/data/postgresql.conf" >/dev/null
}

# A socket's path may hold 107 bytes at most; the loopback port is there anyway.
postgres_settings() {
	local socket="$DIR"
	((${#socket} < 80)) || socket=""
	cat <<-END
		listen_addresses = '127.0.0.1'
		port = $PORT
		unix_socket_directories = '$socket'
		fsync = on
		max_connections = 200
		timezone = 'UTC'
	END
}

postgres_create_database() {
	PGPASSWORD="$PASSWORD" "$(postgres_program createdb)" -w -h 127.0.0.1 -p "$PORT" -U switchboard switchboard 9>&- ||
		die "createdb failed; see $DIR/log"
}

postgres_start() {
	postgres_save
	if [[ $HOW == compose ]]; then
		compose_start postgres
		postgres_save
	elif ! postgres_alive; then
		postgres_unlock
		eventually "$RELEASE_TIMEOUT" postgres_ctl start -w -t "$START_TIMEOUT" -l "$DIR/log" ||
			die "PostgreSQL did not start; the reason is in $DIR/log"
	fi
}

# A killed server leaves its lock files, and where nobody reaps dead processes
# its process id stays taken, so that PostgreSQL would refuse to start. Nothing is
# risked: it also looks whether the cluster's shared memory is still in use, and
# RELEASE_TIMEOUT is for the last processes to let go of that.
RELEASE_TIMEOUT=5
postgres_unlock() { rm -f "$DIR/data/postmaster.pid" "$DIR"/.s.PGSQL.*; }

postgres_ctl() {
	(cd / && as_owner "$(postgres_program pg_ctl)" -s -D "$DIR/data" "$@" </dev/null >>"$SERVICES_DIR/log/pg_ctl.log" 2>&1)
}

postgres_await() {
	load postgres
	eventually "$START_TIMEOUT" postgres_login "$URL" ||
		die "PostgreSQL did not answer within ${START_TIMEOUT}s (SERVICES_START_TIMEOUT)"
}

postgres_alive() {
	case "$HOW" in
	private) process_is "$(postgres_pid)" postgres ;;
	*) postgres_login "$URL" || [[ $HOW == compose ]] ;;
	esac
}
postgres_pid() { head -n 1 "$DIR/data/postmaster.pid" 2>/dev/null || true; }

postgres_stop() {
	[[ $HOW != compose ]] || { compose stop && return; }
	postgres_alive || return 0
	postgres_ctl stop -m fast -w -t "$STOP_TIMEOUT" || postgres_kill
}

# The other processes of the cluster end by themselves when the first one is gone.
postgres_kill() {
	[[ $HOW != compose ]] || { compose kill && return; }
	local pid
	pid="$(postgres_pid)"
	process_is "$pid" postgres || return 0
	kill -KILL "$pid"
	eventually "$STOP_TIMEOUT" gone "$pid" postgres
}

postgres_down() {
	case "$HOW" in
	private)
		postgres_stop
		[[ ! $DIR ]] || rm -rf "$DIR"
		;;
	compose) compose_down ;;
	esac
	forget postgres
}

postgres_exports() {
	printf 'export DATABASE_URL=%q SERVICES_POSTGRES=%q\n' "$URL" "$HOW"
}
