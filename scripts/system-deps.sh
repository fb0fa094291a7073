#!/bin/sh
# What tests need beside Python packages: PostgreSQL and Chromium. Installed where that is
# possible (Debian, as root or with sudo); otherwise the tests that need them fail and say so.
set -u
missing=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null 2>&1 \
    || missing="$missing postgresql"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 \
    || missing="$missing chromium"
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "please install:$missing" >&2
    exit 0
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    as_root="sudo -n"
    if ! $as_root true >/dev/null 2>&1; then
        echo "please install (as root):$missing" >&2
        exit 0
    fi
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing:$missing"
# A cluster of the distribution's own is not wanted: the tests start one of theirs.
$as_root mkdir -p /etc/postgresql-common
[ -e /etc/postgresql-common/createcluster.conf ] \
    || echo "create_main_cluster = false" | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
$as_root apt-get update -qq
# shellcheck disable=SC2086
$as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null
