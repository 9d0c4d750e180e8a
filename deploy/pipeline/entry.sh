#!/bin/sh
# What a container of the deployment does: `entry WORD`. Settings come from the environment, secrets from /run/secrets.
set -eu

# sshd takes no key that others can read; secrets come readable, in a folder that nobody else enters
private_copy() { install -m 0600 "/run/secrets/$1" "/run/sshd/$1"; }

# Only keys open it; no session can forward anything. What else is so is given by the caller.
serve_ssh() {
    mkdir -p /run/sshd
    chmod 0755 /run/sshd
    private_copy "$1"
    key=$1
    shift
    exec /usr/sbin/sshd -D -e -f /dev/null -o "HostKey=/run/sshd/$key" -o AuthenticationMethods=publickey \
        -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no -o AllowTcpForwarding=no -o X11Forwarding=no \
        -o AllowAgentForwarding=no -o PermitTunnel=no -o PermitUserEnvironment=no -o MaxStartups=200:30:400 \
        -o PidFile=none -o "Subsystem=sftp internal-sftp" "$@"
}

course_folder() { echo "/srv/pipeline/courses/${COURSE:?names no course}"; }

case ${1:-} in
agent-sshd)
    mkdir -p /run/sshd
    install -m 0600 /run/secrets/agent_authorized_keys /run/sshd/authorized_keys
    serve_ssh agent_host_key -o Port=2200 -o "ListenAddress=${LISTEN:?names no address}" -o AllowUsers=root \
        -o PermitRootLogin=prohibit-password -o AuthorizedKeysFile=/run/sshd/authorized_keys
    ;;
git-sshd)
    # each student's key is bound to git on the own repositories; who has none on the roster does not get in
    serve_ssh git_host_key -o Port=2222 -o AllowUsers=course -o PermitRootLogin=no -o PermitTTY=no \
        -o AuthorizedKeysFile=none -o "AuthorizedKeysCommand=/usr/local/bin/pipeline course keys $(course_folder)" \
        -o AuthorizedKeysCommandUser=course
    ;;
setup)
    folder=$(course_folder)
    mkdir -p -m 0700 "$folder"
    # read anew at each call: what is half written must not be seen
    for file in course.toml jenkins.toml students.csv; do
        cp "/course/$file" "$folder/.$file.new"
        mv "$folder/.$file.new" "$folder/$file"
    done
    exec pipeline course create "$folder" --from "$folder/course.toml"
    ;;
sync)
    exec pipeline jenkins sync "$(course_folder)"
    ;;
serve)
    exec pipeline serve --course "$(course_folder)" --host 0.0.0.0 --pages-port 8000 \
        --url "${PUBLIC_URL:?names no address of the pages}" --slots "${SLOTS:-2}"
    ;;
store-user)
    exec /srv/program/.venv/bin/python deploy/minio/course_user.py
    ;;
*)
    exec "$@"
    ;;
esac
