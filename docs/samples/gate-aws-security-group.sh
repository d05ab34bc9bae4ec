#!/bin/sh
# A gate for driver "command": the rules of an AWS security group that has no other purpose, so that
# closed means empty. The origin's other ports belong in another group.
#
#   [firewall]
#   driver = "command"
#   allow = ["10.0.0.0/24", "fd77::/64"]
#   open_command = ["/etc/rtmp_sync/gate-aws-security-group.sh", "sg-0123456789abcdef0"]
#   close_command = ["/etc/rtmp_sync/gate-aws-security-group.sh", "sg-0123456789abcdef0"]
#   verify_command = ["/etc/rtmp_sync/gate-aws-security-group.sh", "sg-0123456789abcdef0"]
#   command_deadline = 15
#   verify_interval = 30
#
# Needs the AWS command line with a role that may ec2:DescribeSecurityGroupRules,
# AuthorizeSecurityGroupIngress and RevokeSecurityGroupIngress. A security group lets connections
# that it knows go on; the origin cuts them itself.
set -u
group=$1
export AWS_MAX_ATTEMPTS=2

rules() {
    aws ec2 describe-security-group-rules --filters "Name=group-id,Values=$group" \
        --query 'SecurityGroupRules[?!IsEgress].SecurityGroupRuleId' --output text
}

permission() {
    case "$2" in
        *:*) ranges="Ipv6Ranges=[{CidrIpv6=$2}]" ;;
        *) ranges="IpRanges=[{CidrIp=$2}]" ;;
    esac
    echo "IpProtocol=tcp,FromPort=$1,ToPort=$1,$ranges"
}

revoke() {
    found=$(rules) || return 1
    # shellcheck disable=SC2086  # one word for each rule
    [ -z "$found" ] || aws ec2 revoke-security-group-ingress --group-id "$group" \
        --security-group-rule-ids $found >/dev/null
}

case "$RTMP_SYNC_ACTION" in
    open)
        revoke || exit 1    # what an earlier list let in
        for port in $RTMP_SYNC_PORT ${RTMP_SYNC_TLS_PORT:-} ${RTMP_SYNC_HTTP_PORT:-}; do
            for network in ${RTMP_SYNC_ALLOW:-0.0.0.0/0 ::/0}; do
                aws ec2 authorize-security-group-ingress --group-id "$group" \
                    --ip-permissions "$(permission "$port" "$network")" >/dev/null || exit 1
            done
        done ;;
    close)
        revoke ;;
    verify)
        found=$(rules) || exit 2
        [ -n "$found" ] ;;
esac
