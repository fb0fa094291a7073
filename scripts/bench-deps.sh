#!/bin/sh
# What the benchmark of other ways of doing the work needs and the product does not: Celery with
# its Redis client in the project's environment, and Debian's redis-server. Nothing is left
# running: the benchmark starts a server of its own. Fails where something stays missing.
set -eu
cd "$(dirname "$0")/.."
# Without its dependencies by itself: they would replace versions that the product has pinned.
.venv/bin/python -m pip install -q --disable-pip-version-check --no-deps \
    celery==5.7.0 kombu==5.7.0 redis==8.1.0 billiard==4.3.2 amqp==5.4.2 vine==5.1.0 \
    click-didyoumean==0.3.1 click-plugins==1.1.1.2 click-repl==0.4.1 tzlocal==5.4.5
command -v redis-server >/dev/null 2>&1 && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "please install redis-server" >&2
    exit 1
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    as_root="sudo -n"
    if ! $as_root true >/dev/null 2>&1; then
        echo "please install (as root): redis-server" >&2
        exit 1
    fi
fi
echo "installing: redis-server"
$as_root apt-get update -qq
# The runlevel keeps the distribution's own server from being started.
$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get install -y -qq --no-install-recommends redis-server >/dev/null
