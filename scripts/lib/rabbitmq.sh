# shellcheck shell=bash
# RabbitMQ: found, installed or started, and stopped again.
# HOW is external (it was running before), private (we started it) or compose.

source "$LIB/amqp.sh"

RABBITMQ_STATE=(HOW URL DIR NODE PORT DIST_PORT EPMD_PORT EPMD_PID PID PASSWORD PROJECT)
rabbitmq_clear() { clear_variables "${RABBITMQ_STATE[@]}"; }
rabbitmq_save() { save rabbitmq "${RABBITMQ_STATE[@]}"; }

# Leaves RabbitMQ starting, or already there; rabbitmq_await waits for it.
rabbitmq_find() {
	rabbitmq_clear
	if load rabbitmq && rabbitmq_still_there; then
		[[ ${AMQP_URL:-$URL} == "$URL" ]] ||
			say "AMQP_URL is not used: a RabbitMQ is up already; to change, say: scripts/services down"
		return
	fi
	rabbitmq_clear
	if [[ ! ${PRIVATE_ONLY:-} ]] && rabbitmq_external; then
		rabbitmq_save
		return
	fi
	rabbitmq_clear
	if rabbitmq_program >/dev/null; then
		rabbitmq_create
	elif can_install; then
		packages_install "no RabbitMQ at hand" rabbitmq-server
		rabbitmq_create
	elif can_compose; then
		HOW=compose PORT="$(free_port)" PASSWORD="$(random_hex)"
		URL="amqp://switchboard:$PASSWORD@127.0.0.1:$PORT/"
		rabbitmq_start
	else
		die "no RabbitMQ: none answers at AMQP_URL or 127.0.0.1:5672 (guest/guest), no rabbitmq-server is installed, installing it takes root on Debian or Ubuntu, and there is no working docker compose. Set AMQP_URL to one, or install rabbitmq-server, or start Docker"
	fi
}

# What was up before: another's must answer; ours is started again when it died.
rabbitmq_still_there() {
	if [[ $HOW == external ]]; then
		[[ ! ${PRIVATE_ONLY:-} ]] && amqp_login "$URL"
	else
		rabbitmq_alive || rabbitmq_start
	fi
}

rabbitmq_external() {
	if [[ ${AMQP_URL:-} ]]; then
		if amqp_login "$AMQP_URL"; then
			HOW=external URL="$AMQP_URL"
			return
		fi
		say "AMQP_URL is set, but no RabbitMQ lets us in at $(without_password "$AMQP_URL"); looking elsewhere"
	fi
	URL="amqp://guest:guest@127.0.0.1:5672/"
	listening 127.0.0.1 5672 && amqp_login "$URL" && HOW=external
}

# Debian's rabbitmq-server in the PATH insists on the user rabbitmq; the one
# below /usr/lib does not.
rabbitmq_program() {
	local program
	for program in /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server \
		/opt/homebrew/sbin/rabbitmq-server /usr/local/sbin/rabbitmq-server; do
		have "$program" && command -v "$program" && return
	done
	return 1
}

rabbitmq_create() {
	HOW=private DIR="$SERVICES_DIR/rabbitmq" PASSWORD="$(random_hex)"
	NODE="switchboard_$(random_hex 4)@localhost"
	PORT="$(free_port)" DIST_PORT="$(free_port)" EPMD_PORT="$(free_port)"
	URL="amqp://switchboard:$PASSWORD@127.0.0.1:$PORT/"
	rm -rf "$DIR"
	mkdir -p "$DIR/home"
	rabbitmq_configure
	rabbitmq_start
}

rabbitmq_configure() {
	cat >"$DIR/rabbitmq.conf" <<-END
		listeners.tcp.1 = 127.0.0.1:$PORT
		default_user = switchboard
		default_pass = $PASSWORD
		log.console = false
		log.file.level = info
		disk_free_limit.absolute = 50MB
	END
	# Version 2 of classic queues is quicker; 3.10 to 3.13 make version 1 by default, and
	# older ones refuse the key.
	if grep -qs classic_queue.default_version /usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins/rabbit-*/priv/schema/rabbit.schema; then
		echo 'classic_queue.default_version = 2' >>"$DIR/rabbitmq.conf"
	fi
	echo '[].' >"$DIR/enabled_plugins"
	: >"$DIR/rabbitmq-env.conf"
	random_hex >"$DIR/home/.erlang.cookie"
	chmod 400 "$DIR/home/.erlang.cookie"
}

# Everything RabbitMQ and its tools would otherwise take from the machine. +sbwt
# none: schedulers that wait idly, not busily, leave the processors to the tests.
# Under systemd RabbitMQ's script becomes the server instead of staying its
# parent, so the process id we know is the server's. -switchboard only marks it.
rabbitmq_environment() {
	ENVIRONMENT=(
		HOME="$DIR/home" LC_ALL="${LC_ALL:-C.UTF-8}"
		RABBITMQ_NODENAME="$NODE" RABBITMQ_USE_LONGNAME=false
		RABBITMQ_NODE_PORT="$PORT" RABBITMQ_DIST_PORT="$DIST_PORT"
		ERL_EPMD_PORT="$EPMD_PORT" ERL_EPMD_ADDRESS=127.0.0.1
		RABBITMQ_BASE="$DIR" RABBITMQ_MNESIA_BASE="$DIR/mnesia"
		RABBITMQ_LOG_BASE="$SERVICES_DIR/log" RABBITMQ_LOGS="$SERVICES_DIR/log/rabbitmq.log"
		RABBITMQ_CONFIG_FILE="$DIR/rabbitmq" RABBITMQ_ADVANCED_CONFIG_FILE="$DIR/advanced"
		RABBITMQ_CONF_ENV_FILE="$DIR/rabbitmq-env.conf"
		RABBITMQ_ENABLED_PLUGINS_FILE="$DIR/enabled_plugins"
		RUNNING_UNDER_SYSTEMD=true
		RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1} -switchboard $NODE"
	)
}

rabbitmq_start() {
	rabbitmq_save
	if [[ $HOW == compose ]]; then
		compose_start rabbitmq
	elif ! rabbitmq_alive; then
		rabbitmq_environment
		rabbitmq_start_epmd
		detached "$SERVICES_DIR/log/rabbitmq-start.log" env "${ENVIRONMENT[@]}" "$(rabbitmq_program)"
	fi
	rabbitmq_save
}

# Erlang's name server. Started here, so that its process id is known: RabbitMQ
# would leave one behind that serves the whole machine.
rabbitmq_start_epmd() {
	process_is "$EPMD_PID" "$EPMD_PORT" && return
	local epmd
	epmd="$(command -v epmd || ls /usr/lib/erlang/erts-*/bin/epmd 2>/dev/null)" ||
		die "rabbitmq-server is installed, but Erlang's epmd is not in the PATH"
	detached "$SERVICES_DIR/log/epmd.log" env "${ENVIRONMENT[@]}" "${epmd##*$'\n'}" -port "$EPMD_PORT"
	EPMD_PID="$PID" PID=""
}

rabbitmq_await() {
	load rabbitmq
	[[ $HOW != external ]] || return 0
	local end=$((SECONDS + START_TIMEOUT))
	until listening 127.0.0.1 "$PORT" && amqp_login "$URL"; do
		rabbitmq_starting || die "RabbitMQ ended while starting; the reason is in $SERVICES_DIR/log/rabbitmq-start.log or rabbitmq.log"
		((SECONDS < end)) || die "RabbitMQ did not answer within ${START_TIMEOUT}s (SERVICES_START_TIMEOUT); see $SERVICES_DIR/log/rabbitmq.log"
		sleep 0.1
	done
}

rabbitmq_alive() {
	case "$HOW" in
	private) rabbitmq_process ;;
	*) amqp_login "$URL" || [[ $HOW == compose ]] ;;
	esac
}
# A process that was only just started may not have become RabbitMQ yet, so that
# it lives is enough.
rabbitmq_starting() {
	[[ $HOW == private ]] && kill -0 "$PID" 2>/dev/null || rabbitmq_alive
}
rabbitmq_process() { process_is "$PID" "$NODE" || process_is "$PID" rabbitmq-server; }
rabbitmq_gone() { ! rabbitmq_process; }

rabbitmq_stop() {
	[[ $HOW != compose ]] || { compose stop && return; }
	rabbitmq_process || return 0
	kill -TERM "$PID"
	eventually "$STOP_TIMEOUT" rabbitmq_gone || rabbitmq_kill
}

rabbitmq_kill() {
	[[ $HOW != compose ]] || { compose kill && return; }
	rabbitmq_process || return 0
	kill -KILL "$PID"
	eventually "$STOP_TIMEOUT" rabbitmq_gone
}

rabbitmq_down() {
	case "$HOW" in
	private)
		rabbitmq_stop
		if process_is "$EPMD_PID" "$EPMD_PORT"; then kill "$EPMD_PID"; fi
		rm -rf "$DIR"
		;;
	compose) compose_down ;;
	esac
	forget rabbitmq
}

rabbitmq_ctl() {
	HOW=""
	load rabbitmq || true
	[[ $HOW == private ]] ||
		die "rabbitmqctl: no RabbitMQ of ours is up; say: scripts/services up --private rabbitmq"
	local program
	program="$(rabbitmq_program)"
	rabbitmq_environment
	env "${ENVIRONMENT[@]}" "${program%-server}ctl" "$@"
}

rabbitmq_exports() {
	printf 'export AMQP_URL=%q SERVICES_RABBITMQ=%q\n' "$URL" "$HOW"
}
