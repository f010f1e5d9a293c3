# shellcheck shell=bash
# Prosody, the XMPP server: installed or started, and stopped again. HOW is always
# private (we started it): tests make accounts in it. It serves xmpp.test, rooms and
# uploads below it, and the component sms.xmpp.test. Where XMPP_DOMAIN is an address such
# as 127.1.2.3 it serves that in place of xmpp.test, and talks to servers of other addresses.
# XMPP_SETTINGS is further lines of its configuration.

PROSODY_STATE=(HOW URL DIR PORT TLS_PORT COMPONENT_PORT HTTP_PORT PID PASSWORD)
prosody_clear() { clear_variables "${PROSODY_STATE[@]}"; }
prosody_save() { save prosody "${PROSODY_STATE[@]}"; }

# Leaves Prosody starting, or already there; prosody_await waits for it.
prosody_find() {
	prosody_clear
	if load prosody; then
		prosody_start
		return
	fi
	have prosody || { can_install && packages_install "no Prosody at hand" prosody; } ||
		die "no Prosody: it is not installed, and installing it takes root on Debian or Ubuntu. Install prosody"
	HOW=private DIR="$SERVICES_DIR/prosody" PASSWORD="$(random_hex)"
	local DOMAIN="${XMPP_DOMAIN:-xmpp.test}"
	PORT="$(free_port)" TLS_PORT="$(free_port)" COMPONENT_PORT="$(free_port)" HTTP_PORT="$(free_port)"
	URL="xmpp://$DOMAIN@127.0.0.1:$PORT"
	rm -rf "$DIR"
	mkdir -p "$DIR/data/${DOMAIN//./%2e}/accounts"
	prosody_certificate
	prosody_configure
	prosody_start
}

prosody_certificate() {
	local names="DNS:$DOMAIN,DNS:*.$DOMAIN"
	[[ $DOMAIN == xmpp.test ]] || names="DNS:$DOMAIN,IP:$DOMAIN"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj "/CN=$DOMAIN" \
		-addext "subjectAltName=$names" -keyout "$DIR/key.pem" -out "$DIR/cert.pem" \
		2>>"$SERVICES_DIR/log/prosody-start.log" ||
		die "openssl could not make a certificate; the reason is in $SERVICES_DIR/log/prosody-start.log"
}

# Sessions wait a minute for their client to come back. Accounts are files, so that a
# test makes its own.
prosody_configure() {
	local others='s2s_ports = {} modules_disabled = { "s2s" }'
	[[ $DOMAIN == xmpp.test ]] || others="s2s_interfaces = { \"$DOMAIN\" }"
	cat >"$DIR/prosody.cfg.lua" <<-END
		run_as_root = true
		pidfile = "$DIR/prosody.pid"
		data_path = "$DIR/data"
		log = { info = "$SERVICES_DIR/log/prosody.log" }
		interfaces = { "127.0.0.1" }
		c2s_ports = { $PORT }
		c2s_direct_tls_ports = { $TLS_PORT }
		component_ports = { $COMPONENT_PORT }
		$others
		http_ports = { $HTTP_PORT }
		https_ports = {}
		http_external_url = "http://127.0.0.1:$HTTP_PORT/"
		modules_enabled = {
			"roster", "saslauth", "tls", "disco", "carbons", "pep", "blocklist", "vcard_legacy",
			"version", "time", "ping", "smacks", "presence", "message", "iq", "offline", "c2s", "dialback"
		}
		authentication = "internal_plain"
		c2s_require_encryption = true
		${XMPP_SETTINGS:-smacks_hibernation_time = 60}
		ssl = { key = "$DIR/key.pem", certificate = "$DIR/cert.pem" }
		VirtualHost "$DOMAIN"
		Component "rooms.$DOMAIN" "muc"
		Component "upload.$DOMAIN" "http_file_share"
			http_host = "127.0.0.1"
		Component "sms.$DOMAIN"
			component_secret = "$PASSWORD"
	END
}

prosody_start() {
	if ! prosody_alive; then
		detached "$SERVICES_DIR/log/prosody-start.log" prosody -F --config "$DIR/prosody.cfg.lua"
	fi
	prosody_save
}

prosody_await() {
	load prosody
	local end=$((SECONDS + START_TIMEOUT)) port
	for port in "$PORT" "$TLS_PORT" "$COMPONENT_PORT" "$HTTP_PORT"; do
		until listening 127.0.0.1 "$port"; do
			kill -0 "$PID" 2>/dev/null || die "Prosody ended while starting; the reason is in $SERVICES_DIR/log/prosody-start.log or prosody.log"
			((SECONDS < end)) || die "Prosody did not answer within ${START_TIMEOUT}s (SERVICES_START_TIMEOUT); see $SERVICES_DIR/log/prosody.log"
			sleep 0.1
		done
	done
}

prosody_alive() { process_is "$PID" "$DIR/prosody.cfg.lua"; }
prosody_gone() { ! prosody_alive; }

prosody_stop() {
	prosody_alive || return 0
	kill -TERM "$PID"
	eventually "$STOP_TIMEOUT" prosody_gone || prosody_kill
}

prosody_kill() {
	prosody_alive || return 0
	kill -KILL "$PID"
	eventually "$STOP_TIMEOUT" prosody_gone
}

prosody_down() {
	prosody_stop
	rm -rf "$DIR"
	forget prosody
}

prosody_exports() {
	printf 'export XMPP_ADDR=127.0.0.1:%q XMPP_TLS_ADDR=127.0.0.1:%q XMPP_COMPONENT_ADDR=127.0.0.1:%q\n' "$PORT" "$TLS_PORT" "$COMPONENT_PORT"
	printf 'export XMPP_SECRET=%q XMPP_CA=%q XMPP_ACCOUNTS=%q\n' "$PASSWORD" "$DIR/cert.pem" "$DIR"/data/*/accounts
}
