#!/bin/sh
# Makes every secret of the deployment in the folder DIR, each random, once: what is there stays. `sh secrets.sh DIR`
set -eu
umask 077
mkdir -p "$1"
chmod 700 "$1"
cd "$1"

# Containers read them as users of their own: the folder is what keeps others of this machine out.
keep() { chmod 444 "$1.new"; mv "$1.new" "$1"; }
random() { openssl rand -hex "$1"; }
secret() {
    if [ ! -e "$1" ]; then
        random "$2" >"$1.new"
        keep "$1"
    fi
}
ssh_key() {
    if [ ! -e "$1" ]; then
        rm -f "$1.new" "$1.new.pub"
        ssh-keygen -q -t ed25519 -N '' -C "$1" -f "$1.new"
        chmod 444 "$1.new.pub"
        mv "$1.new.pub" "$1.pub"
        keep "$1"
    fi
}

secret jenkins_admin_password 16
secret jenkins_bot_password 16
secret store_root_user 8
secret store_root_password 20
ssh_key agent_key
ssh_key agent_host_key
ssh_key git_host_key

# the form that Jenkins' fixed tokens have: version 11 and 128 bits
if [ ! -e jenkins_bot_token ]; then
    printf '11%s\n' "$(random 16)" >jenkins_bot_token.new
    keep jenkins_bot_token
fi
if [ ! -e store_auth ]; then
    printf '%s:%s\n' "$(random 8)" "$(random 20)" >store_auth.new
    keep store_auth
fi
if [ ! -e registry_auth ]; then
    printf 'pipeline:%s\n' "$(random 20)" >registry_auth.new
    keep registry_auth
    rm -f registry_htpasswd
fi
# bcrypt, the only kind that a registry takes; the password goes through a pipe, not an argument
if [ ! -e registry_htpasswd ]; then
    random 16 | cat registry_auth - | perl -e '
        my ($user, $password) = split /[:\n]/, <STDIN>;
        my $salt = substr(<STDIN>, 0, 21);
        my $hash = crypt($password, "\$2y\$10\$${salt}u");
        die "this perl has no bcrypt: apt-get install libcrypt1\n" unless $hash =~ /^\$2y\$/;
        print "$user:$hash\n"' >registry_htpasswd.new
    keep registry_htpasswd
fi
touch complete
