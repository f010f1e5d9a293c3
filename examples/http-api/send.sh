#!/bin/sh
# Sends one message and prints its id. API, TOKEN and TO come from the environment.
set -eu
curl --silent --show-error --fail-with-body "$API/messages" \
    --header "Authorization: Bearer $TOKEN" \
    --header "Idempotency-Key: order-7-shipped" \
    --data '{"to": "'"$TO"'", "transport": "sms", "content": "Your order is on its way."}'
