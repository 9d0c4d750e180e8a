#!/bin/sh
# Makes the keys of OpenWhisk's two users in the folder DIR, once: the ones that come with it are published.
# `sh key.sh DIR`; DIR/openwhisk_auth is what `servers.auth_file` names.
set -eu
umask 077
mkdir -p "$1"
cd "$1"
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
