#!/bin/sh
# A holder's node in a container: no inbound port, nothing writable but its home, data read-only.
#
#   deploy/container/run-node.sh VOLUME DATA_FOLDER [COMMAND...]
#
# Without a command the daemon runs; with one, such as `init`, that command.
# The default seccomp profiles of podman 4 and docker 23 or newer let Landlock through; older ones
# do not, and the node then refuses to stage (require_landlock).
# Runs over joins load libsodium from /tmp, into which its package unpacks it: hence exec.
set -eu
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
volume=$1 data=$2
shift 2
[ $# -gt 0 ] || set -- start --home /var/lib/stayput/home
exec "${CONTAINER_TOOL:-podman}" run --rm --interactive \
    --read-only --tmpfs /tmp:rw,exec,nosuid,nodev,size=16m \
    --cap-drop=ALL --security-opt=no-new-privileges \
    --memory=3g --memory-swap=3g --pids-limit=256 --ulimit core=0 \
    --volume "$volume:/var/lib/stayput" --volume "$data:/srv/stayput-data:ro" \
    stayput "$@"
