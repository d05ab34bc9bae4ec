#!/bin/sh
# A gate for driver "command": this origin as a member of a pool on an F5 BIG-IP, forced offline
# while the gate is closed (iControl REST).
#
#   [firewall]
#   driver = "command"
#   open_command = ["/etc/rtmp_sync/gate-big-ip.sh", "10.0.0.9", "~Common~rtmp", "10.0.0.1"]
#   close_command = ["/etc/rtmp_sync/gate-big-ip.sh", "10.0.0.9", "~Common~rtmp", "10.0.0.1"]
#   verify_command = ["/etc/rtmp_sync/gate-big-ip.sh", "10.0.0.9", "~Common~rtmp", "10.0.0.1"]
#
# Arguments: the BIG-IP's management address, the pool, and the origin's address as the pool knows
# it. Name and password are in /etc/rtmp_sync/big-ip.netrc, mode 0600:
#
#   machine 10.0.0.9 login rtmp_sync password …
#
# A member that is forced offline keeps the connections that it has; the origin cuts them itself.
set -u
big_ip=$1 pool=$2 member="~Common~$3:$RTMP_SYNC_PORT"
url="https://$big_ip/mgmt/tm/ltm/pool/$pool/members/$member"

ask() {
    curl --silent --show-error --fail --max-time 4 --netrc-file /etc/rtmp_sync/big-ip.netrc \
        --header "Content-Type: application/json" "$@" "$url"
}

case "$RTMP_SYNC_ACTION" in
    open)
        ask --request PATCH --data '{"session": "user-enabled", "state": "user-up"}' >/dev/null ;;
    close)
        ask --request PATCH --data '{"session": "user-disabled", "state": "user-down"}' >/dev/null ;;
    verify)
        answer=$(ask) || exit 2
        case "$answer" in
            *'"state":"user-down"'*) exit 1 ;;    # forced offline
            *'"session":"user-disabled"'*) echo "disabled by somebody, not offline" >&2; exit 2 ;;
            *'"session":'*) exit 0 ;;             # in service, whatever its monitor says
            *) echo "not the answer of a pool member" >&2; exit 2 ;;
        esac ;;
esac
