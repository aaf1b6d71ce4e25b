#!/bin/sh
# post_bootstrap of a new cluster: the document's user admin, with a password that is in no file. Called with a connection string.
set -eu
: "${ADMIN_PASSWORD:?is not set: the compose files give it}"
exec psql -X -q -v ON_ERROR_STOP=1 "$1" <<'SQL'
\getenv password ADMIN_PASSWORD
CREATE ROLE admin LOGIN CREATEROLE CREATEDB PASSWORD :'password';
SQL
