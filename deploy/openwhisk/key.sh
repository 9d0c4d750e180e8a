#!/bin/sh
# Makes the keys of OpenWhisk's two users in the folder DIR, once: the ones that come with it are published.
# `sh key.sh DIR [REGISTRY AUTH_FILE]`; DIR/openwhisk_auth is what `servers.auth_file` names. With the registry's name and
# the file that `servers.registry_auth_file` names, OpenWhisk can pull from there; without, from open ones alone.
set -eu
umask 077
mkdir -p "$1"
login='{}'
if [ $# = 3 ]; then
    login=$(printf '{"auths": {"%s": {"auth": "%s"}}}' "$2" "$(tr -d '\n' <"$3" | base64 -w 0)")
fi
cd "$1"
printf '%s\n' "$login" >registry_login.new
mv registry_login.new registry_login
if [ -e openwhisk_conf ]; then
    exit 0
fi
key() { printf '%s:%s' "$(cat /proc/sys/kernel/random/uuid)" "$(openssl rand -hex 32)"; }
guest=$(key)
cat >openwhisk_conf.new <<END
include classpath("standalone.conf")
whisk {
  users {
    guest = "$guest"
    whisk-system = "$(key)"
  }
}
END
printf '%s\n' "$guest" >openwhisk_auth.new
chmod 444 openwhisk_conf.new
mv openwhisk_auth.new openwhisk_auth
mv openwhisk_conf.new openwhisk_conf
