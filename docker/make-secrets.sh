#!/bin/sh
# Writes each secret of docker-compose.yml into a file of its own below secrets/ (or the folder given), once: what is
# there already stays. Keep a copy of kek apart from the backups of the database: without it personal content is lost.
set -eu

folder=${1:-secrets}
umask 077
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
# The containers' accounts differ from yours: the folder keeps others out, the files can be read inside.
keep() {
    [ -e "$folder/$1" ] && return
    printf '%s' "$2" >"$folder/$1"
    chmod 444 "$folder/$1"
}

keep secret_key "$(random)$(random)"
for name in postgres owner app redis; do keep "${name}_password" "$(random)"; done
keep database_url "postgresql://aii_app:$(cat "$folder/app_password")@postgres:5432/aii"
keep database_owner_url "postgresql://aii_owner:$(cat "$folder/owner_password")@postgres:5432/aii"
keep redis_url "redis://:$(cat "$folder/redis_password")@redis:6379/0"
if [ ! -e "$folder/kek" ]; then
    head -c 32 /dev/urandom | base64 >"$folder/kek"
    chmod 400 "$folder/kek"
fi
# The key of keys is read by its owner alone: user 10001 in the image.
chown 10001 "$folder/kek" 2>/dev/null || echo "Give the file to the image's user: sudo chown 10001 $folder/kek" >&2
